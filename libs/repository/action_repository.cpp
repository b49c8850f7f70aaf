#include "repository/action_repository.hpp"

#include "crypto/digest.hpp"
#include "repository/action_store.hpp"
#include "repository/governor_store.hpp"
#include "repository/registry_repository.hpp"

namespace fleetward::repository {
namespace {

using fleet::Action;
using fleet::ActionState;

constexpr std::int64_t waiting_max = 1000;       // asked again at a time
constexpr std::size_t reason_bytes_max = 4'000;  // and one more reason of at most as much again
const std::string responder = "responder";

// What becomes of a proposed action: it begins, asks, or waits.
Status settle(store::Transaction& tx, const Policy& policy, Action& action, respond::EntryMode mode, Instant now) {
  const bool observed = !policy.enforcing || mode == respond::EntryMode::observe;
  if (observed) {
    action.mode = "observe";
    action.wait_reason = "observe: nothing is done";
    return detail::record_step(tx, action, "observed", responder, "would have acted", now);
  }
  const bool is_revocation = action.level == fleet::HoldLevel::revoke;
  if (mode == respond::EntryMode::ask || is_revocation || action.claimed) {
    action.state = ActionState::awaiting_approval;
    action.wait_reason = is_revocation    ? "revocation is a person's decision"
                         : action.claimed ? "nobody vouches that the reports are the thing's own"
                                          : "the playbook asks";
    return detail::record_step(tx, action, "awaiting_approval", responder, action.wait_reason, now);
  }
  const auto question = detail::question_for(tx, policy, action, now);
  if (!question) return question.error();
  const respond::Answer answer = respond::ask_governor(*question);
  if (const Status raised = detail::note_answer(tx, action, answer, now); !raised) return raised;
  if (answer.verdict == respond::Verdict::act) {
    if (const Status noted = detail::note_acted(tx, action, now); !noted) return noted;
    return detail::execute(tx, action, responder, "the playbook acts and the governor allows", now);
  }
  const bool waits = answer.verdict == respond::Verdict::wait;
  const ActionState next = waits ? ActionState::proposed : ActionState::awaiting_approval;
  if (waits && action.wait_reason == answer.why) return {};  // asked again, the same answer
  action.state = next;
  action.wait_reason = answer.why;
  return detail::record_step(tx, action, waits ? "waiting" : "awaiting_approval", responder, answer.why, now);
}

// An action that is open for this thing by this entry takes further violations in. One of another thing of that name
// does not. A revocation that only waits for a person is no such action: it does not keep a released thing off the
// network.
Result<std::optional<Action>> open_action(store::Transaction& tx, const fleet::ViolationEvent& v,
                                          const std::string& thing_id, const respond::PlaybookEntry& entry) {
  const auto rows = tx.query(
      "SELECT id FROM actions WHERE thing=$1 AND entry=$2 AND state NOT IN ('released', 'refused', 'failed') AND "
      "(level=$3 OR state NOT IN ('proposed', 'awaiting_approval')) ORDER BY created_ms DESC",
      {v.thing, entry.name, std::string(to_string(entry.level))});
  if (!rows) return rows.error();
  for (const store::Row& r : *rows) {
    auto action = get_action(tx, r.text(0));
    if (!action) return action.error();
    if (action->thing_id.empty() || action->thing_id == thing_id) return std::optional(std::move(*action));
  }
  return std::optional<Action>();
}

Status withdraw(store::Transaction& tx, Action& action, const std::string& actor, const std::string& why, Instant now) {
  action.state = ActionState::refused;
  action.wait_reason.clear();
  return detail::record_step(tx, action, "refused", actor, why, now);
}

// What was proposed as the next step of an action that is released is off the table, and a canary that was released
// before its proof makes way for another one.
Status withdraw_what_follows(store::Transaction& tx, const Action& released, const std::string& actor, Instant now) {
  const auto rows = tx.query("SELECT id FROM actions WHERE thing=$1 AND state='awaiting_approval' ORDER BY created_ms",
                             {released.thing});
  if (!rows) return rows.error();
  for (const store::Row& r : *rows) {
    auto next = get_action(tx, r.text(0));
    if (!next) return next.error();
    if (next->follows != released.id) continue;
    const Status withdrawn = withdraw(tx, *next, actor, "the action that it follows was released", now);
    if (!withdrawn) return withdrawn;
  }
  return detail::forget_waiting_canary(tx, released);
}

std::string reason_of(const fleet::ViolationEvent& v) {
  return fmt::format("{}/{}: expected {}, seen {}", v.profile, v.behavior.name, v.expected, v.seen)
      .substr(0, reason_bytes_max);
}

Action action_for(const respond::PlaybookEntry& entry, const fleet::ViolationEvent& v, const std::string& thing_id,
                  Instant now) {
  Action a;
  a.id = crypto::id_from("action", entry.name, v.violation_id);
  a.thing = v.thing;
  a.thing_id = thing_id;
  a.level = entry.level;
  a.entry = entry.name;
  a.rule = fmt::format("{}/{}", v.profile, v.behavior.name);
  a.mode = "enforce";
  a.severity = entry.severity;
  a.reason = reason_of(v);
  a.requested_by = responder;
  a.violations = {v.violation_id};
  a.groups = v.groups;
  a.gateway_seen = v.gateway_seen;
  a.claimed = v.claimed;
  a.lease_end = now + entry.lease;
  a.stopwatch.received = v.received;
  a.stopwatch.detected = v.time;
  a.stopwatch.decided = now;
  a.created = a.updated = now;
  return a;
}

Result<Action> waiting_for_person(store::Transaction& tx, const std::string& id) {
  auto action = get_action(tx, id);
  if (!action) return action.error();
  if (action->state != ActionState::awaiting_approval && action->state != ActionState::proposed) {
    return Error(ErrorCode::failed_precondition,
                 fmt::format("the action is {}: there is nothing to approve or refuse", to_string(action->state)));
  }
  return action;
}

// A further violation of a thing for which there is an action already.
Status join(store::Transaction& tx, const Policy& policy, const respond::PlaybookEntry& entry, Action& action,
            const fleet::ViolationEvent& v, Instant now) {
  if (std::find(action.violations.begin(), action.violations.end(), v.violation_id) != action.violations.end())
    return {};
  if (action.violations.size() >= detail::violations_joined_max) return {};  // it says enough
  action.violations.push_back(v.violation_id);
  if (action.reason.size() < reason_bytes_max) action.reason += "; " + reason_of(v);
  action.gateway_seen = action.gateway_seen || v.gateway_seen;
  // It asks only because nobody vouched; for this one somebody does.
  const bool was_claimed = std::exchange(action.claimed, action.claimed && v.claimed);
  if (const Status joined = detail::record_step(tx, action, "violation_joined", responder, reason_of(v), now); !joined)
    return joined;
  // It asks only because it was over; now it is not.
  const bool was_over =
      action.state == ActionState::awaiting_approval && action.wait_reason == detail::alarm_has_cleared;
  const bool is_vouched_now = was_claimed && !action.claimed && action.state == ActionState::awaiting_approval;
  return was_over || is_vouched_now ? settle(tx, policy, action, entry.mode, now) : Status();
}

Action by_hand(const std::string& thing, const std::string& thing_id, fleet::HoldLevel level, const std::string& reason,
               const std::string& actor, Instant now) {
  Action a;
  a.thing = thing;
  a.thing_id = thing_id;
  a.level = level;
  a.mode = "enforce";
  a.reason = reason;
  a.requested_by = actor;
  a.approved_by = actor;
  a.stopwatch.received = a.stopwatch.detected = a.stopwatch.decided = now;
  a.created = a.updated = a.lease_end = now;
  return a;
}

// One that a person began for this thing at this level, and that still holds it.
Result<std::optional<Action>> held_by_hand(store::Transaction& tx, const std::string& thing,
                                           const std::string& thing_id, fleet::HoldLevel level) {
  const auto rows = tx.query(
      "SELECT a.id FROM actions a JOIN holds h ON h.action=a.id WHERE a.thing=$1 AND a.level=$2 AND a.entry='' AND "
      "h.thing_id=$3 AND a.state IN ('executing', 'verifying', 'in_effect') ORDER BY a.created_ms DESC LIMIT 1",
      {thing, std::string(to_string(level)), thing_id});
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<Action>();
  auto action = get_action(tx, rows->at(0).text(0));
  if (!action) return action.error();
  return std::optional(std::move(*action));
}

Result<Action> begin_by_hand(store::Transaction& tx, Action a, Instant now) {
  auto groups = all_groups_of(tx, a.thing);
  if (!groups) return groups.error();
  a.groups = std::move(*groups);
  if (const Status made = detail::insert_action(tx, a); !made) return made.error();
  if (const Status begun = detail::execute(tx, a, a.requested_by, a.reason, now); !begun) return begun.error();
  return a;
}

}  // namespace

Result<Decision> decide(store::Transaction& tx, const Policy& policy, const fleet::ViolationEvent& v, Instant now) {
  if (v.type != fleet::ViolationEventType::in_alarm) {
    auto ended = detail::end_alarm(tx, v, now);
    if (!ended) return ended.error();
    return Decision{std::move(*ended), false};
  }
  const respond::PlaybookEntry* entry = v.behavior.suppress_alerts ? nullptr : respond::find_entry(policy.playbook, v);
  if (entry == nullptr) return Decision();
  const auto thing = find_thing(tx, v.thing);
  if (!thing) return thing.error();
  if (!*thing || (!v.thing_id.empty() && v.thing_id != (**thing).id)) return Decision{std::nullopt, true};
  const std::string rule = fmt::format("{}/{}", v.profile, v.behavior.name);
  if (const Status hit = detail::note_hit(tx, rule, v.thing, now); !hit) return hit.error();
  auto open = open_action(tx, v, (**thing).id, *entry);
  if (!open) return open.error();
  // What was only observed does not stand in the way once we enforce.
  if (*open && !((**open).mode == "observe" && policy.enforcing)) {
    if (const Status joined = join(tx, policy, *entry, **open, v, now); !joined) return joined.error();
    return Decision{std::move(*open), false};
  }
  Action action = action_for(*entry, v, (**thing).id, now);
  action.lease_end += policy.clock_behind;
  const auto existing = tx.query("SELECT 1 FROM actions WHERE id=$1", {action.id});
  if (!existing) return existing.error();
  if (!existing->empty()) return Decision();  // what is closed stays closed
  if (const Status made = detail::insert_action(tx, action); !made) return made.error();
  if (const Status settled = settle(tx, policy, action, entry->mode, now); !settled) return settled.error();
  return Decision{std::move(action), false};
}

Status reconsider_waiting(store::Transaction& tx, const Policy& policy, Instant now) {
  auto waiting = waiting_for_canary(tx, waiting_max);
  if (!waiting) return waiting.error();
  for (Action& action : *waiting) {
    const auto present = detail::is_present(tx, action.thing, action.thing_id);
    if (!present) return present.error();
    const respond::PlaybookEntry* entry = respond::entry_named(policy.playbook, action.entry);
    if (*present && entry == nullptr) continue;
    const Status settled = *present ? settle(tx, policy, action, entry->mode, now)
                                    : withdraw(tx, action, responder, "the thing was deleted", now);
    if (!settled) return settled;
  }
  return {};
}

Result<Action> act_by_hand(store::Transaction& tx, const std::string& thing, const std::string& thing_id,
                           fleet::HoldLevel level, const std::string& reason, const std::string& actor, Millis lease,
                           Instant now) {
  auto standing = held_by_hand(tx, thing, thing_id, level);
  if (!standing) return standing.error();
  if (*standing) return std::move(**standing);
  Action a = by_hand(thing, thing_id, level, reason, actor, now);
  a.id = crypto::id_from("action", "by-hand", actor, thing, std::string(to_string(level)), std::to_string(to_ms(now)));
  a.lease_end = now + lease;
  return begin_by_hand(tx, std::move(a), now);
}

Result<Action> revoke_certificate_by_hand(store::Transaction& tx, const CertificateRow& certificate,
                                          const std::string& reason, const std::string& actor, Instant now) {
  Action a = by_hand(certificate.thing, certificate.thing_id, fleet::HoldLevel::revoke, reason, actor, now);
  a.id = crypto::id_from("action", "revoke-certificate", certificate.id);
  a.certificates = {certificate.id};
  return begin_by_hand(tx, std::move(a), now);
}

Result<Action> approve(store::Transaction& tx, const std::string& id, const std::string& actor, const std::string& why,
                       Instant now) {
  auto action = waiting_for_person(tx, id);
  if (!action) return action.error();
  if (action->requested_by == actor)
    return Error(ErrorCode::permission_denied, "whoever asks for an action may not approve it");
  const auto present = detail::is_present(tx, action->thing, action->thing_id);
  if (!present) return present.error();
  if (!*present) {
    return Error(
        ErrorCode::failed_precondition,
        fmt::format("{} was deleted since (a thing made anew under the name is another one): refuse the action",
                    action->thing));
  }
  action->approved_by = actor;
  action->mode = "enforce";
  action->lease_end = now + (action->lease_end - action->created);  // the lease runs from the approval on
  action->stopwatch.decided = now;
  if (const Status begun = detail::execute(tx, *action, actor, "approved: " + why, now); !begun) return begun.error();
  return action;
}

Result<Action> refuse(store::Transaction& tx, const std::string& id, const std::string& actor, const std::string& why,
                      Instant now) {
  auto action = waiting_for_person(tx, id);
  if (!action) return action.error();
  if (const Status s = withdraw(tx, *action, actor, why, now); !s) return s.error();
  return action;
}

Result<Action> release(store::Transaction& tx, const std::string& id, const std::string& actor, const std::string& why,
                       Instant now) {
  auto action = get_action(tx, id);
  if (!action) return action.error();
  if (action->state == ActionState::released) return action;
  if (action->state == ActionState::refused || action->state == ActionState::proposed ||
      action->state == ActionState::awaiting_approval) {
    return Error(ErrorCode::failed_precondition,
                 fmt::format("the action is {}: there is no hold to release", to_string(action->state)));
  }
  if (const Status lifted = detail::lift(tx, *action, now); !lifted) return lifted.error();
  action->state = ActionState::released;
  if (const Status s = detail::record_step(tx, *action, "released", actor, why, now); !s) return s.error();
  if (const Status s = withdraw_what_follows(tx, *action, actor, now); !s) return s.error();
  return action;
}

Status end_leases(store::Transaction& tx, const std::string& actor, Instant now) {
  const auto rows =
      tx.query("SELECT action FROM holds WHERE level <> 'revoke' AND lease_end_ms <= $1 LIMIT 100", {to_ms(now)});
  if (!rows) return rows.error();
  for (const store::Row& r : *rows) {
    if (const auto ended = release(tx, r.text(0), actor, "the lease is over", now); !ended) return ended.error();
  }
  return {};
}

}  // namespace fleetward::repository
