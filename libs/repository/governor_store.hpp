// What decisions ask and tell the governor's memory. Private to action_repository and governor_repository.
#pragma once

#include "repository/action_repository.hpp"
#include "repository/governor_repository.hpp"

namespace fleetward::repository::detail {

// Everything that the governor has to know about an action that would begin by itself.
Result<respond::Question> question_for(store::Transaction& tx, const Policy& policy, const fleet::Action& action,
                                       Instant now);
// A thing fell to the behavior; what the brake counts.
Status note_hit(store::Transaction& tx, const std::string& behavior, const std::string& thing, Instant now);
// What the answer raises: a brake, an exhausted cap.
Status note_answer(store::Transaction& tx, const fleet::Action& action, const respond::Answer& answer, Instant now);
// The action begins by itself: its groups' caps count it, and it is its rule's canary when there is none.
Status note_acted(store::Transaction& tx, const fleet::Action& action, Instant now);
// A canary that was released before its proof makes way for another one.
Status forget_waiting_canary(store::Transaction& tx, const fleet::Action& action);
std::string canary_rule(const fleet::Action& action);

}  // namespace fleetward::repository::detail
