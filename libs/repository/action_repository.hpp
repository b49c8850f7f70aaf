// Actions, holds and the hash chain: the only code that writes their tables. All functions run inside a store
// transaction, so a decision's caps, action, hold, chain and outbox change stand or fall together.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fleet/action.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/outbox.hpp"
#include "respond/governor.hpp"
#include "respond/playbook.hpp"

namespace fleetward::repository {

inline constexpr std::string_view actions_channel =
    "actions";  // wakes the responder: something to execute or to verify

struct Policy {
  respond::Playbook playbook;
  bool enforcing = false;  // false: observe, decisions are recorded and nothing is done
  bool stopped = false;    // a stop file is there: nothing begins by itself
  Millis clock_behind{0};  // so far our clock seems to be set back: a lease ends that much later by it
};

// What became of a violation event.
struct Decision {
  std::optional<fleet::Action> action;  // what was made, joined or changed, if anything
  bool foreign = false;  // it is of a thing that is deleted, or was made anew under the name: nothing was done
};
// Decides on one violation event; the caller has seen to it that each comes once. The end of an alarm withdraws what
// waits (invalidated), or lets it begin by itself no more (cleared).
Result<Decision> decide(store::Transaction& tx, const Policy& policy, const fleet::ViolationEvent& violation,
                        Instant now);
// Those that wait for their canary, oldest first.
Result<std::vector<fleet::Action>> waiting_for_canary(store::Transaction& tx, std::int64_t limit);
// Asks the governor again for them.
Status reconsider_waiting(store::Transaction& tx, const Policy& policy, Instant now);

// A person's own action; it begins at once, or is the one at that level that a person began and that still holds the
// thing. The caller has seen to it that `actor` may.
Result<fleet::Action> act_by_hand(store::Transaction& tx, const std::string& thing, const std::string& thing_id,
                                  fleet::HoldLevel level, const std::string& reason, const std::string& actor,
                                  Millis lease, Instant now);
// A revocation of one certificate of a thing, which goes on with its others: proven like any other, but no hold.
Result<fleet::Action> revoke_certificate_by_hand(store::Transaction& tx, const CertificateRow& certificate,
                                                 const std::string& reason, const std::string& actor, Instant now);
// failed_precondition when it does not wait for approval, or its thing is no more; permission_denied when the one who
// asked would approve.
Result<fleet::Action> approve(store::Transaction& tx, const std::string& id, const std::string& actor,
                              const std::string& why, Instant now);
Result<fleet::Action> refuse(store::Transaction& tx, const std::string& id, const std::string& actor,
                             const std::string& why, Instant now);
// Ends the action's hold. A revoked certificate stays revoked.
Result<fleet::Action> release(store::Transaction& tx, const std::string& id, const std::string& actor,
                              const std::string& why, Instant now);
// Holds whose lease is over, released by `actor`.
Status end_leases(store::Transaction& tx, const std::string& actor, Instant now);

// A gateway has said of the record of at least this version that it is in force at its place, or (evidence that is not
// good) that it is not.
Status note_enforced(store::Transaction& tx, const std::string& thing, std::int64_t access_version,
                     const fleet::Evidence& evidence, Instant now);
// in_effect, with what was seen; proves the rule's canary, and proposes what the playbook says comes then.
Result<fleet::Action> mark_verified(store::Transaction& tx, const std::string& id,
                                    const std::vector<fleet::Evidence>& evidence, const Policy& policy, Instant now);
Result<fleet::Action> mark_failed(store::Transaction& tx, const std::string& id, const std::string& why,
                                  const std::vector<fleet::Evidence>& evidence, Instant now);
// The proof has to wait, for a reason that a person can do something about: it stays verifying. False: it is no longer
// open, or waits for the same already.
Result<bool> mark_waiting(store::Transaction& tx, const std::string& id, const std::string& why, Instant now);
// What was in effect was seen not to be: its desired state is written again, and it is to be proven again. Failed when
// that was tried too often of late.
Result<fleet::Action> mark_drifted(store::Transaction& tx, const std::string& id, const std::string& why,
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
// By id, those after `after`: for walking all that are in a state.
Result<std::vector<fleet::Action>> actions_after(store::Transaction& tx, fleet::ActionState state,
                                                 const std::string& after, std::int64_t limit);

Result<std::vector<fleet::Hold>> holds_of(store::Transaction& tx, const std::string& thing);
// Walks the chain: corrupted when a step was changed.
Status check_chain(store::Transaction& tx, std::int32_t chain);

}  // namespace fleetward::repository
