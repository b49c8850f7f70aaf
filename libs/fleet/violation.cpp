#include "fleet/violation.hpp"

#include <fmt/format.h>

#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 3> type_names = {"in-alarm", "alarm-cleared", "alarm-invalidated"};
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();

}  // namespace

std::string_view to_string(ViolationEventType type) { return type_names[static_cast<std::size_t>(type)]; }

Result<ViolationEventType> parse_violation_event_type(std::string_view text) {
  for (std::size_t i = 0; i < type_names.size(); ++i) {
    if (type_names[i] == text) return static_cast<ViolationEventType>(i);
  }
  return Error(ErrorCode::invalid_argument, "violationEventType is not known");
}

std::string event_id(const ViolationEvent& e) { return fmt::format("{}.{}", e.violation_id, to_string(e.type)); }

json::Value to_json(const ViolationEvent& e) {
  json::Value out = {{"violationId", e.violation_id},
                     {"violationEventType", to_string(e.type)},
                     {"thingName", e.thing},
                     {"thingId", e.thing_id},
                     {"securityProfileName", e.profile},
                     {"securityProfileVersion", e.profile_version},
                     {"manifest", e.manifest},
                     {"behavior", to_json(e.behavior)},
                     {"violationEventTime", to_ms(e.time)},
                     {"violationStartTime", to_ms(e.start_time)},
                     {"datapoints", e.datapoints},
                     {"expected", e.expected},
                     {"seen", e.seen},
                     {"reason", e.reason},
                     {"gatewaySeen", e.gateway_seen},
                     {"partition", e.partition},
                     {"offset", e.offset},
                     {"receivedTime", to_ms(e.received)},
                     {"groups", e.groups},
                     {"thingType", e.thing_type},
                     {"firmware", e.firmware},
                     {"engineVersion", e.engine_version}};
  if (e.value) out["metricValue"] = to_json(*e.value);
  if (e.claimed) out["claimed"] = true;
  return out;
}

Result<ViolationEvent> violation_event_from_json(const json::Value& value) {
  json::Reader r(value, "violation");
  ViolationEvent e;
  e.violation_id = r.text("violationId", 1, 64);
  const auto type = parse_violation_event_type(r.text("violationEventType"));
  if (!type) r.problem("violationEventType", type.error().message);
  else e.type = *type;
  e.thing = r.text("thingName", 1, 128);
  e.thing_id = r.text_or("thingId", "", 64);
  e.profile = r.text("securityProfileName", 1, 128);
  e.profile_version = r.integer("securityProfileVersion", 0, any_max);
  e.manifest = r.integer("manifest", 0, any_max);
  if (const json::Value* behavior = r.required("behavior")) {
    auto parsed = behavior_from_json(*behavior, "violation.behavior");
    if (parsed) e.behavior = std::move(*parsed);
    else r.problem("behavior", parsed.error().message);
  }
  if (const json::Value* seen = r.member("metricValue")) {
    auto parsed = metric_value_from_json(*seen, "violation.metricValue");
    if (parsed) e.value = std::move(*parsed);
    else r.problem("metricValue", parsed.error().message);
  }
  e.time = r.instant_ms("violationEventTime");
  e.start_time = r.instant_ms("violationStartTime");
  e.datapoints = static_cast<std::int32_t>(r.integer_or("datapoints", 0, 0, 1000));
  e.expected = r.text_or("expected", "", 4096);
  e.seen = r.text_or("seen", "", 4096);
  e.reason = r.text_or("reason", "", 1024);
  e.gateway_seen = r.boolean_or("gatewaySeen", false);
  e.claimed = r.boolean_or("claimed", false);
  e.partition = static_cast<std::int32_t>(r.integer("partition", 0, 1 << 20));
  e.offset = r.integer("offset", 0, any_max);
  e.received = r.instant_ms("receivedTime");
  e.groups = r.texts_or_empty("groups", 256, 128);
  e.thing_type = r.text_or("thingType", "", 128);
  e.firmware = r.text_or("firmware", "", 128);
  e.engine_version = r.text_or("engineVersion", "", 64);
  if (const Status status = r.finish(); !status) return status.error();
  return e;
}

}  // namespace fleetward::fleet
