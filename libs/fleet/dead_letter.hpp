// A message or record that could not be used, as it came and with the reason. Topic dead-letters (key: source).
//
// What it keeps of the message is bounded: payload_kept_max bytes, headers_kept_max headers. One that is cut short says
// so, and cannot be replayed.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "json/json.hpp"

namespace fleetward::fleet {

struct DeadLetter {
  static constexpr std::size_t payload_kept_max = 128 << 10;
  static constexpr std::size_t headers_kept_max = 64;
  static constexpr std::size_t text_kept_max = 4096;  // of the topic, the key, and of a header's name and value

  std::string id;      // 32 hex digits
  std::string source;  // mqtt/NAME, kafka/NAME: of the collector; topic/NAME: of our own topics
  std::string reason;  // a short name, as in metrics
  std::string why;     // in words
  std::string topic;
  std::string key;
  std::optional<std::int32_t> partition;  // where it stands in a log
  std::optional<std::int64_t> offset;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string payload;  // bytes, the first payload_kept_max of them
  std::int64_t payload_bytes = 0;
  bool cut = false;  // something of it is left out
  Instant received;
  friend bool operator==(const DeadLetter&, const DeadLetter&) = default;
};

// Within the limits: what is longer is cut.
void keep_within_limits(DeadLetter& letter);
// From where it stands in a log, else from what it is and when it came: a record that is read again has the same.
std::string id_of(const DeadLetter& letter);

json::Value to_json(const DeadLetter& letter);
Result<DeadLetter> dead_letter_from_json(const json::Value& value);

}  // namespace fleetward::fleet
