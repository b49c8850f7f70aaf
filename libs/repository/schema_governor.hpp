// Tables (and later columns of others) of what holds automatic action back, and of what was told the governor. Owner:
// governor_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_governor = R"(
CREATE TABLE governor_conditions(
  kind TEXT NOT NULL, subject TEXT NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL, since_ms BIGINT NOT NULL,
  PRIMARY KEY(kind, subject));
INSERT INTO governor_conditions SELECT 'brake', behavior, 'responder', '', since_ms FROM governor_brakes;
INSERT INTO governor_conditions SELECT 'stop_switch', '', actor, why, at_ms FROM stop_switch WHERE is_on = 1;
DROP TABLE governor_brakes;
DROP TABLE stop_switch;
CREATE TABLE governor_log(
  number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms BIGINT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, step TEXT NOT NULL,
  actor TEXT NOT NULL, why TEXT NOT NULL, since_ms BIGINT NOT NULL);
CREATE INDEX governor_log_age ON governor_log(at_ms);
ALTER TABLE governor_canaries ADD COLUMN used_ms BIGINT NOT NULL DEFAULT 0;
UPDATE governor_canaries SET used_ms = COALESCE((SELECT updated_ms FROM actions WHERE id = governor_canaries.action), 0);
ALTER TABLE actions ADD COLUMN waits BIGINT NOT NULL DEFAULT 0;
UPDATE actions SET waits = 1 WHERE state = 'proposed' AND body LIKE '%"mode":"enforce"%';
CREATE INDEX actions_waits ON actions(created_ms) WHERE waits = 1;
ALTER TABLE incident_members ADD COLUMN certificate_only BIGINT NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN condition TEXT;
CREATE INDEX governor_hits_age ON governor_hits(at_ms);
CREATE INDEX governor_acted_age ON governor_acted(at_ms);
)";

}  // namespace fleetward::repository
