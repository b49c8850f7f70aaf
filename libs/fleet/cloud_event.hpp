// CloudEvents 1.0 in structured JSON: the envelope of every low-rate topic.
#pragma once

#include <string>

#include "json/json.hpp"

namespace fleetward::fleet {

struct CloudEvent {
  std::string id;       // derived from its cause, so that a repeat has the same one
  std::string source;   // /fleetward/ROLE
  std::string type;     // io.fleetward.violation.v1
  std::string subject;  // the record's key
  Instant time;
  json::Value data;
};

std::string to_json_text(const CloudEvent& event);
// Bounded by json::Limits; refuses another specversion.
Result<CloudEvent> parse_cloud_event(std::string_view text);

namespace event_type {
constexpr std::string_view violation = "io.fleetward.violation.v1";
constexpr std::string_view access = "io.fleetward.access.v1";
constexpr std::string_view certificate = "io.fleetward.certificate.v1";
constexpr std::string_view authority = "io.fleetward.authority.v1";
constexpr std::string_view enforcement = "io.fleetward.enforcement.v1";
constexpr std::string_view refused_record = "io.fleetward.refused-record.v1";
constexpr std::string_view gateway = "io.fleetward.gateway.v1";
constexpr std::string_view action = "io.fleetward.action.v1";
constexpr std::string_view incident = "io.fleetward.incident.v1";
constexpr std::string_view governor = "io.fleetward.governor.v1";
constexpr std::string_view profile = "io.fleetward.profile.v1";
constexpr std::string_view dimension = "io.fleetward.dimension.v1";
constexpr std::string_view manifest = "io.fleetward.manifest.v1";
constexpr std::string_view cohort_sample = "io.fleetward.cohort-sample.v1";
constexpr std::string_view cohort_snapshot = "io.fleetward.cohort-snapshot.v1";
constexpr std::string_view dead_letter = "io.fleetward.dead-letter.v1";
constexpr std::string_view registry = "io.fleetward.registry.v1";
}  // namespace event_type

}  // namespace fleetward::fleet
