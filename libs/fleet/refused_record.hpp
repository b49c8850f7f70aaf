// A record on topic access or certificates that a gateway did not go by: no role that may say so has signed it. Topic
// enforcement, beside what gateways enforced; the key is that of the record.
#pragma once

#include <string>

#include "json/json.hpp"

namespace fleetward::fleet {

struct RefusedRecord {
  std::string id;  // of the refused record: each gateway that meets it says the same
  std::string gateway;
  std::string topic;
  std::string key;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::string version;  // as its header has it
  std::string reason;   // unsigned, unknown_key, wrong_role, bad_signature
  // Of all that was judged, and of its value alone: what the store says can be told from what others say.
  std::string mark;
  std::string value_digest;
  Instant time;
  friend bool operator==(const RefusedRecord&, const RefusedRecord&) = default;
};
json::Value to_json(const RefusedRecord& record);
Result<RefusedRecord> refused_record_from_json(const json::Value& value);

}  // namespace fleetward::fleet
