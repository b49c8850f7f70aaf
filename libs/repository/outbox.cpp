#include "repository/outbox.hpp"

#include "fleet/topics.hpp"

namespace fleetward::repository {
namespace {

bool is_table(std::string_view topic) {
  for (const fleet::TopicInfo& info : fleet::all_topics) {
    if (info.name == topic) return info.is_table;
  }
  return false;
}

std::string headers_text(const OutboxMessage& message) {
  json::Value list = json::Value::array();
  list.push_back({fleet::header::version, std::to_string(message.version)});
  list.push_back({fleet::header::content_type, "application/cloudevents+json"});
  for (const bus::Header h : message.headers) list.push_back({h.name, h.value});
  return json::dump(list);
}

}  // namespace

Result<std::int64_t> next_version(store::Transaction& tx, std::string_view topic, std::string_view key) {
  const auto rows =
      tx.query("SELECT version FROM outbox_latest WHERE topic=$1 AND key=$2", {std::string(topic), std::string(key)});
  if (!rows) return rows.error();
  return rows->empty() ? 1 : rows->at(0).integer(0) + 1;
}

Status publish(store::Transaction& tx, const OutboxMessage& message) {
  const std::string& key = message.event.subject;
  const std::string value = to_json_text(message.event);
  const std::string headers = headers_text(message);
  const store::Value kept = is_table(message.topic) ? store::Value(value) : store::Value();
  const auto latest = tx.execute(
      "INSERT INTO outbox_latest(topic, key, version, value, headers) VALUES($1, $2, $3, $4, $5) ON CONFLICT(topic, "
      "key) DO UPDATE "
      "SET version=excluded.version, value=excluded.value, headers=excluded.headers",
      {message.topic, key, message.version, kept, headers});
  if (!latest) return latest.error();
  const auto row = tx.execute("INSERT INTO outbox(topic, key, value, headers, version) VALUES($1, $2, $3, $4, $5)",
                              {message.topic, key, value, headers, message.version});
  if (!row) return row.error();
  tx.notify(outbox_channel);
  return {};
}

Result<bool> is_untouched(store::Transaction& tx) {
  const auto rows = tx.query("SELECT 1 FROM outbox_latest LIMIT 1");
  if (!rows) return rows.error();
  return rows->empty();
}

Result<bool> has_published(store::Transaction& tx) {
  const auto rows = tx.query(
      "SELECT 1 FROM outbox_latest WHERE (topic, key, version) NOT IN (SELECT topic, key, version FROM outbox) LIMIT "
      "1");
  if (!rows) return rows.error();
  return !rows->empty();
}

Result<bool> is_unpublished(store::Transaction& tx, std::string_view topic, std::string_view key) {
  const auto rows =
      tx.query("SELECT 1 FROM outbox WHERE topic=$1 AND key=$2 LIMIT 1", {std::string(topic), std::string(key)});
  if (!rows) return rows.error();
  return !rows->empty();
}

Status raise_version(store::Transaction& tx, std::string_view topic, std::string_view key, std::int64_t version) {
  const auto raised = tx.execute(
      "INSERT INTO outbox_latest(topic, key, version) VALUES($1, $2, $3) ON CONFLICT(topic, key) DO UPDATE SET "
      "version=excluded.version "
      "WHERE excluded.version > outbox_latest.version",
      {std::string(topic), std::string(key), version});
  return raised.ok() ? Status() : Status(raised.error());
}

}  // namespace fleetward::repository
