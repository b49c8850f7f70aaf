// Rows of actions and their steps. Private to action_repository.
#pragma once

#include "repository/action_repository.hpp"

namespace fleetward::repository::detail {

// Writes the action as it is now and the step that brought it there: row, hash chain, outbox record.
Status record_step(store::Transaction& tx, fleet::Action& action, std::string_view step, const std::string& actor,
                   const std::string& why, Instant now);
// Puts the action's hold in force (and, for revoke, revokes the thing's certificates) and moves it to executing.
Status execute(store::Transaction& tx, fleet::Action& action, const std::string& actor, const std::string& why,
               Instant now);
// Takes the action's hold away.
Status lift(store::Transaction& tx, const fleet::Action& action, Instant now);
// A new action's row; its steps follow by record_step.
Status insert_action(store::Transaction& tx, const fleet::Action& action);
std::int32_t chain_of(const std::string& thing);

}  // namespace fleetward::repository::detail
