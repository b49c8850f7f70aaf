// Tables of violation events, of violations in alarm and of what people said of them. Owner: ViolationRepository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_violations = R"(
CREATE TABLE violation_events(
  id TEXT PRIMARY KEY, violation_id TEXT NOT NULL, type TEXT NOT NULL, thing TEXT NOT NULL, profile TEXT NOT NULL,
  behavior TEXT NOT NULL, criteria TEXT NOT NULL, suppressed BIGINT NOT NULL, time_ms BIGINT NOT NULL,
  body TEXT NOT NULL);
CREATE INDEX violation_events_time ON violation_events(time_ms, id);
CREATE INDEX violation_events_thing ON violation_events(thing, time_ms, id);
CREATE INDEX violation_events_violation ON violation_events(violation_id);
CREATE TABLE violations_active(
  id TEXT PRIMARY KEY, thing TEXT NOT NULL, profile TEXT NOT NULL, behavior TEXT NOT NULL, criteria TEXT NOT NULL,
  suppressed BIGINT NOT NULL, time_ms BIGINT NOT NULL, body TEXT NOT NULL);
CREATE INDEX violations_active_time ON violations_active(time_ms, id);
CREATE INDEX violations_active_thing ON violations_active(thing, time_ms, id);
CREATE TABLE violation_verifications(
  violation_id TEXT PRIMARY KEY, state TEXT NOT NULL, description TEXT NOT NULL, actor TEXT NOT NULL,
  at_ms BIGINT NOT NULL);
)";

}  // namespace fleetward::repository
