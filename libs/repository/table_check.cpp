#include "repository/table_check.hpp"

#include <charconv>

#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {
namespace {

access::SignedContent content_of(std::string_view topic, std::string_view key, std::string_view value,
                                 const bus::Headers& headers) {
  return {topic, key, bus::find_header(headers, fleet::header::version).value_or(""), value};
}

// What a record is known by: all that makes it what it is.
access::RecordMark mark(const access::SignedContent& content, const bus::Headers& headers) {
  return access::mark_of(content, bus::find_header(headers, fleet::header::signature).value_or(""));
}

std::int64_t number(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc() && end == text.data() + text.size() ? out : 0;
}

}  // namespace

TableView::TableView(std::string topic, std::shared_ptr<const access::Signers> signers)
    : topic_(std::move(topic)), signers_(std::move(signers)) {}

Result<bool> TableView::read_said(store::Transaction& tx, std::int64_t rows_max) {
  const auto rows = tx.query("SELECT key, version FROM outbox_latest WHERE topic=$1 AND key > $2 ORDER BY key LIMIT $3",
                             {topic_, said_after_, rows_max});
  if (!rows) return rows.error();
  for (const store::Row& row : *rows) keys_[row.text(0)].said = row.integer(1);
  if (!rows->empty()) said_after_ = rows->back().text(0);
  return static_cast<std::int64_t>(rows->size()) == rows_max;
}

void TableView::note(const bus::Record& record) {
  const auto content = content_of(topic_, record.key,
                                  record.value ? std::string_view(*record.value) : std::string_view(), record.headers);
  const std::int64_t version = number(content.version);
  Key& key = keys_[record.key];
  key.has_value = record.value.has_value();
  key.last = mark(content, record.headers);
  // Not above what the store has said: whether it is the same shows when it is compared, for nothing.
  if (is_signed() && version > key.said) {
    const auto verdict = signers_->check(content, bus::find_header(record.headers, fleet::header::signature));
    if (!record.value || verdict != access::Verdict::good) {
      ++forged_;
      return;
    }
  }
  key.newest = std::max(key.newest, version);
}

namespace {

// What has to be written of one key, if anything.
Status rewrite_key(store::Transaction& tx, const TableView& view, const std::string& key, const TableView::Key& seen,
                   std::vector<bus::OutRecord>& out) {
  const std::string& topic = view.topic();
  const auto rows =
      tx.query("SELECT version, value, headers FROM outbox_latest WHERE topic=$1 AND key=$2", {topic, key});
  if (!rows) return rows.error();
  const std::int64_t said = rows->empty() ? 0 : rows->at(0).integer(0);
  if (seen.newest > said) {
    log::warn("store_is_older_than_the_bus", {{"topic", topic}, {"key", key}, {"store", said}, {"bus", seen.newest}});
    return raise_version(tx, topic, key, seen.newest);
  }
  if (rows->empty()) {
    if (view.is_signed() && seen.has_value) out.push_back({topic, key, std::nullopt, {}, std::nullopt});
    return {};
  }
  if (rows->at(0).is_null(1)) return {};
  auto headers = headers_from_text(rows->at(0).text(2));
  if (!headers) return headers.error();
  const std::string& value = rows->at(0).text(1);
  if (seen.has_value && seen.last == mark(content_of(topic, key, value, *headers), *headers)) return {};
  const auto waiting = is_unpublished(tx, topic, key);
  if (!waiting) return waiting.error();
  if (!*waiting) out.push_back({topic, key, value, std::move(*headers), std::nullopt});
  return {};
}

}  // namespace

Result<std::vector<bus::OutRecord>> to_rewrite(store::Transaction& tx, const TableView& view) {
  std::vector<bus::OutRecord> out;
  for (const auto& [key, seen] : view.keys()) {
    if (const Status done = rewrite_key(tx, view, key, seen, out); !done) return done.error();
  }
  return out;
}

}  // namespace fleetward::repository
