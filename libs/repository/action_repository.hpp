// Actions, holds, the governor's memory and the hash chain: the only code that writes their tables. All functions run
// inside a store transaction, so a decision's caps, action, hold, chain and outbox change stand or fall together.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fleet/action.hpp"
#include "repository/outbox.hpp"
#include "respond/governor.hpp"
#include "respond/playbook.hpp"

namespace fleetward::repository {

inline constexpr std::string_view actions_channel =
    "actions";  // wakes the responder: something to execute or to verify

struct Policy {
  respond::Playbook playbook;
  bool enforcing = false;  // false: observe, decisions are recorded and nothing is done
};

// Decides on one violation event (in-alarm only; others change nothing). The caller has seen to it that each event
// comes once. What it made or joined, if anything.
Result<std::optional<fleet::Action>> decide(store::Transaction& tx, const Policy& policy,
                                            const fleet::ViolationEvent& violation, Instant now);
// Asks the governor again for actions that wait for their canary.
Status reconsider_waiting(store::Transaction& tx, const Policy& policy, Instant now);

// A person's own action; it begins at once. `approver` has the right to.
Result<fleet::Action> act_by_hand(store::Transaction& tx, const std::string& thing, const std::string& thing_id,
                                  fleet::HoldLevel level, const std::string& reason, const std::string& actor,
                                  Millis lease, Instant now);
// failed_precondition when it does not wait for approval; permission_denied when the one who asked would approve.
Result<fleet::Action> approve(store::Transaction& tx, const std::string& id, const std::string& actor,
                              const std::string& why, Instant now);
Result<fleet::Action> refuse(store::Transaction& tx, const std::string& id, const std::string& actor,
                             const std::string& why, Instant now);
// Ends the action's hold. A revoked certificate stays revoked.
Result<fleet::Action> release(store::Transaction& tx, const std::string& id, const std::string& actor,
                              const std::string& why, Instant now);
// Holds whose lease is over, released by `actor`.
Status end_leases(store::Transaction& tx, const std::string& actor, Instant now);

// A gateway has said that the record of at least this version is in force at its place.
Status note_enforced(store::Transaction& tx, const std::string& thing, std::int64_t access_version,
                     const fleet::Evidence& evidence, Instant now);
// in_effect, with what was seen; proves the rule's canary, and proposes what the playbook says comes then.
Result<fleet::Action> mark_verified(store::Transaction& tx, const std::string& id,
                                    const std::vector<fleet::Evidence>& evidence, const Policy& policy, Instant now);
Result<fleet::Action> mark_failed(store::Transaction& tx, const std::string& id, const std::string& why,
                                  const std::vector<fleet::Evidence>& evidence, Instant now);

struct ActionStep {
  std::int64_t number = 0;
  Instant time;
  std::string step;
  std::string actor;
  std::string why;
  std::string hash;
};
Result<fleet::Action> get_action(store::Transaction& tx, const std::string& id);  // not_found
Result<std::vector<ActionStep>> steps_of(store::Transaction& tx, const std::string& id);
struct ActionFilter {
  std::string thing;
  std::string state;
};
// Newest first; `before` is the creation time and id of the last one seen, empty for the first page.
Result<std::vector<fleet::Action>> list_actions(store::Transaction& tx, const ActionFilter& filter,
                                                const std::string& before, std::int64_t limit);
std::string action_cursor(const fleet::Action& action);
Result<std::vector<fleet::Action>> actions_in(store::Transaction& tx, const std::vector<fleet::ActionState>& states,
                                              std::int64_t limit);

Result<std::vector<fleet::Hold>> holds_of(store::Transaction& tx, const std::string& thing);
Result<bool> stop_switch_is_on(store::Transaction& tx);
Status set_stop_switch(store::Transaction& tx, bool on, const std::string& actor, const std::string& why, Instant now);
// Lets the brake of a behavior ("*": all) go.
Status release_brake(store::Transaction& tx, const std::string& behavior);
// Walks the chain: corrupted when a step was changed.
Status check_chain(store::Transaction& tx, std::int32_t chain);

}  // namespace fleetward::repository
