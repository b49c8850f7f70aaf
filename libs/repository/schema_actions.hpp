// Tables of actions, holds and the governor. Owner: action_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_actions = R"(
CREATE TABLE actions(
  id TEXT PRIMARY KEY, thing TEXT NOT NULL, level TEXT NOT NULL, state TEXT NOT NULL, entry TEXT NOT NULL, rule TEXT NOT NULL,
  body TEXT NOT NULL, steps BIGINT NOT NULL, created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL);
CREATE INDEX actions_thing ON actions(thing);
CREATE INDEX actions_state ON actions(state, created_ms);
CREATE TABLE action_steps(
  action TEXT NOT NULL REFERENCES actions(id), number BIGINT NOT NULL, at_ms BIGINT NOT NULL, step TEXT NOT NULL, actor TEXT NOT NULL,
  why TEXT NOT NULL, chain BIGINT NOT NULL, position BIGINT NOT NULL, event TEXT NOT NULL, hash TEXT NOT NULL,
  PRIMARY KEY(action, number));
CREATE INDEX action_steps_chain ON action_steps(chain, position);
CREATE TABLE action_chain(chain BIGINT PRIMARY KEY, position BIGINT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE holds(
  thing TEXT NOT NULL, action TEXT NOT NULL, thing_id TEXT NOT NULL, level TEXT NOT NULL, reason TEXT NOT NULL, actor TEXT NOT NULL,
  since_ms BIGINT NOT NULL, lease_end_ms BIGINT NOT NULL, PRIMARY KEY(thing, action));
CREATE INDEX holds_lease ON holds(lease_end_ms);
CREATE TABLE governor_acted(group_name TEXT NOT NULL, thing TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY(group_name, thing, at_ms));
CREATE TABLE governor_hits(behavior TEXT NOT NULL, thing TEXT NOT NULL, at_ms BIGINT NOT NULL, PRIMARY KEY(behavior, thing));
CREATE TABLE governor_brakes(behavior TEXT PRIMARY KEY, since_ms BIGINT NOT NULL);
CREATE TABLE governor_canaries(rule TEXT PRIMARY KEY, action TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE stop_switch(one INTEGER PRIMARY KEY CHECK(one = 1), is_on BIGINT NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL, at_ms BIGINT NOT NULL);
)";

}  // namespace fleetward::repository
