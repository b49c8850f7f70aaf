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

// With its signature, where the topic has one and the transaction somebody who may sign.
Result<std::string> headers_text(store::Transaction& tx, std::string_view topic, std::string_view key,
                                 std::int64_t version, std::string_view value, const bus::Headers& more) {
  const std::string version_text = std::to_string(version);
  json::Value list = json::Value::array();
  list.push_back({fleet::header::version, version_text});
  list.push_back({fleet::header::content_type, "application/cloudevents+json"});
  for (const bus::Header h : more) list.push_back({h.name, h.value});
  if (tx.signer() != nullptr) {
    const auto signature = tx.signer()->sign(topic, key, version_text, value);
    if (!signature) return signature.error();
    if (!signature->empty()) list.push_back({fleet::header::signature, *signature});
  }
  return json::dump(list);
}

Status insert_row(store::Transaction& tx, const std::string& topic, const std::string& key, const std::string& value,
                  const std::string& headers, std::int64_t version) {
  const auto row = tx.execute("INSERT INTO outbox(topic, key, value, headers, version) VALUES($1, $2, $3, $4, $5)",
                              {topic, key, value, headers, version});
  if (!row) return row.error();
  tx.notify(outbox_channel);
  return {};
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
  const auto headers = headers_text(tx, message.topic, key, message.version, value, message.headers);
  if (!headers) return headers.error();
  const store::Value kept = is_table(message.topic) ? store::Value(value) : store::Value();
  const auto latest = tx.execute(
      "INSERT INTO outbox_latest(topic, key, version, value, headers) VALUES($1, $2, $3, $4, $5) ON CONFLICT(topic, "
      "key) DO UPDATE "
      "SET version=excluded.version, value=excluded.value, headers=excluded.headers",
      {message.topic, key, message.version, kept, *headers});
  if (!latest) return latest.error();
  return insert_row(tx, message.topic, key, value, *headers, message.version);
}

Result<bool> say_again(store::Transaction& tx, const std::string& topic, const std::string& key, bool signed_anew) {
  const auto rows =
      tx.query("SELECT version, value, headers FROM outbox_latest WHERE topic=$1 AND key=$2", {topic, key});
  if (!rows) return rows.error();
  // Known by its version alone, from a bus that was ahead of a restored store: what it said is there, and only there.
  if (!rows->empty() && rows->at(0).is_null(1)) return true;
  const auto gone = tx.execute("DELETE FROM outbox WHERE topic=$1 AND key=$2", {topic, key});
  if (!gone) return gone.error();
  if (rows->empty()) {
    const Status told = insert_row(tx, topic, key, std::string(tombstone), "[]", 0);
    return told.ok() ? Result<bool>(false) : Result<bool>(told.error());
  }
  const std::int64_t version = rows->at(0).integer(0);
  const std::string& value = rows->at(0).text(1);
  std::string headers = rows->at(0).text(2);
  if (signed_anew) {
    auto anew = headers_text(tx, topic, key, version, value, {});
    if (!anew) return anew.error();
    headers = std::move(*anew);
    const auto kept =
        tx.execute("UPDATE outbox_latest SET headers=$3 WHERE topic=$1 AND key=$2", {topic, key, headers});
    if (!kept) return kept.error();
  }
  const Status told = insert_row(tx, topic, key, value, headers, version);
  return told.ok() ? Result<bool>(true) : Result<bool>(told.error());
}

Result<bus::Headers> headers_from_text(const std::string& text) {
  const Result<json::Value> list = json::parse(text);
  if (!list) return list.error();
  bus::Headers headers;
  for (const json::Value& pair : *list)
    headers.push_back({pair.at(0).get<std::string>(), pair.at(1).get<std::string>()});
  return headers;
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
