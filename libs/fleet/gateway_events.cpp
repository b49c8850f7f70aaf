#include "fleet/gateway_events.hpp"

#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 5> kind_names = {"session-cut", "connect-refused", "would-cut", "would-refuse",
                                                        "applied"};
constexpr std::array<std::string_view, 6> standing_names = {"live", "late", "closed", "silent", "gone", "stopped"};
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();

}  // namespace

std::string_view to_string(EnforcementKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

Result<EnforcementKind> parse_enforcement_kind(std::string_view text) {
  for (std::size_t i = 0; i < kind_names.size(); ++i) {
    if (kind_names[i] == text) return static_cast<EnforcementKind>(i);
  }
  return Error(ErrorCode::invalid_argument, "enforcement kind is not known");
}

json::Value to_json(const GatewayHeartbeat& h) {
  json::Value out = {{"instance", h.instance},
                     {"startNumber", h.start_number},
                     {"enforcing", h.enforcing},
                     {"stopping", h.stopping},
                     {"probeHost", h.probe_host},
                     {"probePort", h.probe_port},
                     {"accessNextOffset", h.access_next_offset},
                     {"certificatesNextOffset", h.certificates_next_offset},
                     {"sessions", h.sessions},
                     {"time", to_ms(h.time)},
                     {"leaseEnd", to_ms(h.lease_end)},
                     {"failClosed", h.fail_closed}};
  if (h.collector) out["collector"] = true;
  return out;
}

Result<GatewayHeartbeat> gateway_heartbeat_from_json(const json::Value& value) {
  json::Reader r(value, "gateway");
  GatewayHeartbeat h;
  h.instance = r.text("instance", 1, 128);
  h.start_number = r.integer("startNumber", 0, any_max);
  h.enforcing = r.boolean_or("enforcing", false);
  h.stopping = r.boolean_or("stopping", false);
  h.probe_host = r.text_or("probeHost", "", 256);
  h.probe_port = static_cast<std::int32_t>(r.integer("probePort", 0, 65535));
  h.access_next_offset = r.integer("accessNextOffset", 0, any_max);
  h.certificates_next_offset = r.integer("certificatesNextOffset", 0, any_max);
  h.sessions = r.integer_or("sessions", 0, 0, any_max);
  h.time = r.instant_ms("time");
  h.lease_end = r.instant_ms("leaseEnd");
  h.fail_closed = r.boolean_or("failClosed", false);
  h.collector = r.boolean_or("collector", false);
  if (const Status status = r.finish(); !status) return status.error();
  return h;
}

std::string_view to_string(GatewayStanding standing) { return standing_names[static_cast<std::size_t>(standing)]; }

GatewayStanding standing_of(const GatewayHeartbeat& h, const GoneGateway* gone, Instant now) {
  if (h.stopping) return GatewayStanding::stopped;
  if (now < h.lease_end) return GatewayStanding::live;
  if (gone != nullptr && gone->start_number == h.start_number && gone->last_heard == h.time)
    return GatewayStanding::gone;
  if (now < h.lease_end + lease_margin) return GatewayStanding::late;
  return h.fail_closed ? GatewayStanding::closed : GatewayStanding::silent;
}

json::Value to_json(const EnforcementEvent& e) {
  json::Value out = {{"id", e.id},
                     {"kind", to_string(e.kind)},
                     {"thing", e.thing},
                     {"thingId", e.thing_id},
                     {"gateway", e.gateway},
                     {"startNumber", e.start_number},
                     {"accessVersion", e.access_version},
                     {"certificate", e.certificate},
                     {"reason", e.reason},
                     {"mqttReasonCode", e.mqtt_reason_code},
                     {"clientAddress", e.client_address},
                     {"sessionsLeft", e.sessions_left},
                     {"time", to_ms(e.time)}};
  if (e.level) out["level"] = to_string(*e.level);
  return out;
}

Result<EnforcementEvent> enforcement_event_from_json(const json::Value& value) {
  json::Reader r(value, "enforcement");
  EnforcementEvent e;
  e.id = r.text("id", 1, 128);
  const auto kind = parse_enforcement_kind(r.text("kind"));
  if (!kind) r.problem("kind", kind.error().message);
  e.thing = r.text("thing", 1, 128);
  e.thing_id = r.text_or("thingId", "", 64);
  e.gateway = r.text("gateway", 1, 128);
  e.start_number = r.integer("startNumber", 0, any_max);
  e.access_version = r.integer_or("accessVersion", 0, 0, any_max);
  e.certificate = r.text_or("certificate", "", 64);
  if (const auto level = r.optional_text("level")) {
    const auto parsed = parse_hold_level(*level);
    if (parsed) e.level = *parsed;
    else r.problem("level", parsed.error().message);
  }
  e.reason = r.text_or("reason", "", 256);
  e.mqtt_reason_code = static_cast<std::int32_t>(r.integer_or("mqttReasonCode", 0, 0, 255));
  e.client_address = r.text_or("clientAddress", "", 128);
  e.sessions_left = r.integer_or("sessionsLeft", 0, 0, any_max);
  e.time = r.instant_ms("time");
  if (const Status status = r.finish(); !status) return status.error();
  e.kind = *kind;
  return e;
}

}  // namespace fleetward::fleet
