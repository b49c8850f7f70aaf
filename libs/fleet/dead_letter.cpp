#include "fleet/dead_letter.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "crypto/digest.hpp"

namespace fleetward::fleet {
namespace {

constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();
// Texts of others may be no UTF-8 and hold anything: they stand in JSON as base64, too.
std::string bytes_text(const std::string& text) { return to_base64(as_bytes(text)); }

void shorten(std::string& text, bool& cut) {
  if (text.size() <= DeadLetter::text_kept_max) return;
  text.resize(DeadLetter::text_kept_max);
  cut = true;
}

std::string read_bytes(json::Reader& r, std::string_view key, const json::Value* value) {
  const Result<Bytes> bytes = value != nullptr && value->is_string()
                                  ? from_base64(value->get_ref<const std::string&>())
                                  : Result<Bytes>(ErrorCode::invalid_argument, "is not text");
  if (bytes) return std::string(as_text(*bytes));
  r.problem(key, bytes.error().message);
  return "";
}

}  // namespace

void keep_within_limits(DeadLetter& letter) {
  letter.payload_bytes = static_cast<std::int64_t>(letter.payload.size());
  if (letter.payload.size() > DeadLetter::payload_kept_max) {
    letter.payload.resize(DeadLetter::payload_kept_max);
    letter.cut = true;
  }
  shorten(letter.topic, letter.cut);
  shorten(letter.key, letter.cut);
  shorten(letter.content_type, letter.cut);
  if (letter.headers.size() > DeadLetter::headers_kept_max) {
    letter.headers.resize(DeadLetter::headers_kept_max);
    letter.cut = true;
  }
  for (auto& [name, value] : letter.headers) {
    shorten(name, letter.cut);
    shorten(value, letter.cut);
  }
  letter.why = printable(letter.why, DeadLetter::text_kept_max / 2);
}

std::string id_of(const DeadLetter& letter) {
  if (letter.partition && letter.offset)
    return crypto::id_from("dead-letter", letter.source, letter.topic, std::to_string(*letter.partition),
                           std::to_string(*letter.offset));
  return crypto::id_from("dead-letter", letter.source, letter.topic, letter.key, letter.payload,
                         std::to_string(to_ms(letter.received)));
}

json::Value to_json(const DeadLetter& l) {
  json::Value headers = json::Value::array();
  for (const auto& [name, value] : l.headers)
    headers.push_back({{"nameBase64", bytes_text(name)}, {"valueBase64", bytes_text(value)}});
  json::Value out = {{"id", l.id},
                     {"source", l.source},
                     {"reason", l.reason},
                     {"why", l.why},
                     {"topicBase64", bytes_text(l.topic)},
                     {"keyBase64", bytes_text(l.key)},
                     {"contentTypeBase64", bytes_text(l.content_type)},
                     {"headers", std::move(headers)},
                     {"payloadBase64", bytes_text(l.payload)},
                     {"payloadBytes", l.payload_bytes},
                     {"cut", l.cut},
                     {"received", to_ms(l.received)}};
  if (l.partition) out["partition"] = *l.partition;
  if (l.offset) out["offset"] = *l.offset;
  return out;
}

Result<DeadLetter> dead_letter_from_json(const json::Value& value) {
  json::Reader r(value, "dead letter");
  DeadLetter l;
  l.id = r.text("id", 1, 64);
  l.source = r.text("source", 1, 256);
  l.reason = r.text("reason", 1, 64);
  l.why = r.text_or("why", "", 2 * DeadLetter::text_kept_max);
  l.topic = read_bytes(r, "topicBase64", r.required("topicBase64"));
  l.key = read_bytes(r, "keyBase64", r.required("keyBase64"));
  l.content_type = read_bytes(r, "contentTypeBase64", r.required("contentTypeBase64"));
  l.payload = read_bytes(r, "payloadBase64", r.required("payloadBase64"));
  l.payload_bytes = r.integer("payloadBytes", 0, any_max);
  l.cut = r.boolean_or("cut", false);
  l.received = r.instant_ms("received");
  if (const auto partition = r.optional_integer("partition", 0, std::numeric_limits<std::int32_t>::max()))
    l.partition = static_cast<std::int32_t>(*partition);
  l.offset = r.optional_integer("offset", 0, any_max);
  const json::Value* headers = r.required("headers");
  if (headers != nullptr && (!headers->is_array() || headers->size() > DeadLetter::headers_kept_max)) {
    r.problem("headers", fmt::format("is not a list of at most {}", DeadLetter::headers_kept_max));
  } else if (headers != nullptr) {
    for (const json::Value& item : *headers) {
      json::Reader h(item, "headers");
      std::string name = read_bytes(h, "nameBase64", h.required("nameBase64"));
      std::string text = read_bytes(h, "valueBase64", h.required("valueBase64"));
      if (const Status read = h.finish(); !read) r.problem("headers", read.error().message);
      l.headers.emplace_back(std::move(name), std::move(text));
    }
  }
  if (const Status status = r.finish(); !status) return status.error();
  return l;
}

}  // namespace fleetward::fleet
