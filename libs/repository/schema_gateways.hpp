// Table of gateways that a person has declared gone, and the index by which proofs are walked. Owners:
// gateway_repository, action_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_gateways = R"(
CREATE TABLE gateways_gone(
  instance TEXT PRIMARY KEY, start_number BIGINT NOT NULL, last_heard_ms BIGINT NOT NULL, actor TEXT NOT NULL, why TEXT NOT NULL,
  at_ms BIGINT NOT NULL);
CREATE INDEX actions_state_id ON actions(state, id);
)";

}  // namespace fleetward::repository
