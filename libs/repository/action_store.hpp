// Rows of actions and their steps. Private to action_repository.
#pragma once

#include "repository/action_repository.hpp"

namespace fleetward::repository::detail {

// Writes the action as it is now and the step that brought it there: row, hash chain, outbox record.
Status record_step(store::Transaction& tx, fleet::Action& action, std::string_view step, const std::string& actor,
                   const std::string& why, Instant now);
// Puts the action's hold in force (and, for revoke, revokes the thing's certificates) and moves it to executing. A
// revocation of some certificates alone holds nobody: their records are what gateways go by.
Status execute(store::Transaction& tx, fleet::Action& action, const std::string& actor, const std::string& why,
               Instant now);
// Takes the action's hold away.
Status lift(store::Transaction& tx, const fleet::Action& action, Instant now);
// A new action's row; its steps follow by record_step.
Status insert_action(store::Transaction& tx, const fleet::Action& action);
// Whether the registry's thing of that name is still the one that is meant. An empty id means whichever is there.
Result<bool> is_present(store::Transaction& tx, const std::string& thing, const std::string& thing_id);

// action_alarms.cpp
inline constexpr std::size_t violations_joined_max = 100;
inline constexpr std::string_view alarm_has_cleared =
    "the alarm has cleared: a person decides whether it is wanted still";
// Whether each of its violations has ended.
bool alarms_are_over(const fleet::Action& action);
// Takes the end of an alarm into the actions that it led to; the last one that changed.
Result<std::optional<fleet::Action>> end_alarm(store::Transaction& tx, const fleet::ViolationEvent& violation,
                                               Instant now);
std::int32_t chain_of(const std::string& thing);

}  // namespace fleetward::repository::detail
