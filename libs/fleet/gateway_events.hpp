// What gateways say of themselves and of what they enforced. Topics gateways (table) and enforcement (log).
#pragma once

#include <optional>
#include <string>

#include "fleet/access.hpp"

namespace fleetward::fleet {

// A second's sign of life. `*_next_offset`: everything below it on that topic has been applied.
struct GatewayHeartbeat {
  std::string instance;
  std::int64_t start_number = 0;  // rises with each start of this instance
  bool enforcing = false;         // false: observe, says only what it would have done
  bool stopping = false;          // its last word
  std::string probe_host;         // where the public listener is reached
  std::int32_t probe_port = 0;
  std::int64_t access_next_offset = 0;
  std::int64_t certificates_next_offset = 0;
  std::int64_t sessions = 0;
  Instant time;
  Instant lease_end;  // admits nobody after this without a new heartbeat, when fail_closed
  bool fail_closed = false;
  bool collector = false;  // of a collector, which has no devices of its own: nothing is proven by it
  friend bool operator==(const GatewayHeartbeat&, const GatewayHeartbeat&) = default;
};
json::Value to_json(const GatewayHeartbeat& heartbeat);
Result<GatewayHeartbeat> gateway_heartbeat_from_json(const json::Value& value);

// A person's word that a silent gateway's machine is no more. It is about the life that ended with that heartbeat: one
// that is heard of again counts again.
struct GoneGateway {
  std::string instance;
  std::int64_t start_number = 0;
  Instant last_heard;  // `time` of its last heartbeat
  std::string actor;
  std::string why;
  Instant time;
  friend bool operator==(const GoneGateway&, const GoneGateway&) = default;
};

// How much a gateway's last heartbeat is worth now.
enum class GatewayStanding {
  live,     // within its lease
  late,     // its lease has just ended: a heartbeat may be on its way still
  closed,   // silent, and admits nobody since its lease ended
  silent,   // silent, and may go on by what it knew
  gone,     // silent, and a person says that it is no more
  stopped,  // said goodbye
};
inline constexpr Millis lease_margin{5'000};  // how long a gateway is late before it is silent
std::string_view to_string(GatewayStanding standing);
// `gone`: what was declared of this instance, nullptr for nothing.
GatewayStanding standing_of(const GatewayHeartbeat& heartbeat, const GoneGateway* gone, Instant now);

enum class EnforcementKind {
  session_cut,      // a live session was ended
  connect_refused,  // a connect was refused
  would_cut,        // observe mode: a live session was left alone
  would_refuse,     // observe mode: a connect was let through
  applied,          // a record was applied; there was no live session to cut
};
std::string_view to_string(EnforcementKind kind);
Result<EnforcementKind> parse_enforcement_kind(std::string_view text);

struct EnforcementEvent {
  std::string id;
  EnforcementKind kind = EnforcementKind::applied;
  std::string thing;
  std::string thing_id;
  std::string gateway;
  std::int64_t start_number = 0;
  std::int64_t access_version = 0;  // 0 when a certificate was the reason
  std::string certificate;          // fingerprint, when known
  std::optional<HoldLevel> level;
  std::string reason;                 // held, certificate-revoked, certificate-inactive, …
  std::int32_t mqtt_reason_code = 0;  // what the device was told
  std::string client_address;
  std::int64_t sessions_left = 0;  // of the thing at this gateway afterwards
  Instant time;
  friend bool operator==(const EnforcementEvent&, const EnforcementEvent&) = default;
};
json::Value to_json(const EnforcementEvent& event);
Result<EnforcementEvent> enforcement_event_from_json(const json::Value& value);

}  // namespace fleetward::fleet
