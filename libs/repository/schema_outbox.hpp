// Tables of the outbox, its relay and of effects that were done. Owners: Outbox, OutboxRelay, Effects.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_outbox = R"(
CREATE TABLE outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  topic TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, headers TEXT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE outbox_latest(
  topic TEXT NOT NULL, key TEXT NOT NULL, version BIGINT NOT NULL, value TEXT, headers TEXT, PRIMARY KEY(topic, key));
CREATE TABLE relay_lease(
  one INTEGER PRIMARY KEY CHECK(one = 1), holder TEXT NOT NULL, generation BIGINT NOT NULL, expires_ms BIGINT NOT NULL);
CREATE TABLE effects(consumer TEXT NOT NULL, id TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY(consumer, id));
CREATE INDEX effects_age ON effects(consumer, at_ms);
)";

}  // namespace fleetward::repository
