// A violation event: a behavior of a profile that became, or ceased to be, violated by a thing. Topic violations.
//
// It explains itself, and holds nothing that a replay of the same log would not give again, byte for byte.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/profile.hpp"

namespace fleetward::fleet {

enum class ViolationEventType { in_alarm, alarm_cleared, alarm_invalidated };
std::string_view to_string(ViolationEventType type);  // in-alarm, …
Result<ViolationEventType> parse_violation_event_type(std::string_view text);

struct ViolationEvent {
  std::string violation_id;  // 32 hex digits; the same from in-alarm to its end
  ViolationEventType type = ViolationEventType::in_alarm;
  std::string thing;
  std::string thing_id;
  std::string profile;
  std::int64_t profile_version = 0;
  std::int64_t manifest = 0;
  Behavior behavior;
  std::optional<MetricValue> value;  // what was seen; none when invalidated
  Instant time;                      // of the datapoint that decided, on the partition's clock
  Instant start_time;                // of the in-alarm event
  std::int32_t datapoints = 0;       // consecutive ones that decided
  std::string expected;              // in words: "listening TCP ports within 22, 8883"
  std::string seen;                  // in words: "48101"
  std::string reason;                // why it ended, for cleared and invalidated; else empty
  bool gateway_seen = false;         // the evidence is a gateway's own, not the device's word
  bool claimed = false;              // nobody vouches that the reports behind it are the thing's own
  std::int32_t partition = 0;        // place of the deciding record on `devices`
  std::int64_t offset = 0;
  Instant received;                 // when the gateway took the deciding report
  std::vector<std::string> groups;  // of the thing at that time
  std::string thing_type;
  std::string firmware;
  std::string engine_version;
  friend bool operator==(const ViolationEvent&, const ViolationEvent&) = default;
};

// Id of the event (not of the violation): derived from violation id and type, so effects are once.
std::string event_id(const ViolationEvent& event);

json::Value to_json(const ViolationEvent& event);
Result<ViolationEvent> violation_event_from_json(const json::Value& value);

}  // namespace fleetward::fleet
