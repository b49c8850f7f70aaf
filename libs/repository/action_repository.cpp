#include "repository/action_repository.hpp"

#include "crypto/digest.hpp"
#include "repository/action_store.hpp"
#include "repository/registry_repository.hpp"

namespace fleetward::repository {
namespace {

using fleet::Action;
using fleet::ActionState;

constexpr std::string_view ungrouped = "(no group)";
constexpr std::size_t violations_joined_max = 100;
constexpr std::size_t reason_bytes_max = 4'000;  // and one more reason of at most as much again
const std::string responder = "responder";

Status done(const Result<std::int64_t>& changed) { return changed.ok() ? Status() : Status(changed.error()); }

Result<std::int64_t> count(const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  return rows->at(0).integer(0);
}

// ---- what the governor has to know

std::vector<std::string> groups_or_own(const std::vector<std::string>& groups) {
  return groups.empty() ? std::vector<std::string>{std::string(ungrouped)} : groups;
}

Result<std::int64_t> size_of(store::Transaction& tx, const std::string& group) {
  if (group != ungrouped) return group_size(tx, group);
  return count(tx.query("SELECT count(*) FROM things WHERE name NOT IN (SELECT thing FROM thing_group_members)"));
}

Result<respond::GroupUse> use_of(store::Transaction& tx, const std::string& group, const std::string& thing,
                                 Instant now) {
  respond::GroupUse use{group, 0, 0, 0};
  const auto size = size_of(tx, group);
  if (!size) return size.error();
  const auto acted = [&](Millis window) {
    return count(
        tx.query("SELECT count(DISTINCT thing) FROM governor_acted WHERE group_name=$1 AND thing<>$2 AND at_ms > $3",
                 {group, thing, to_ms(now - window)}));
  };
  const auto hour = acted(respond::hour_window);
  if (!hour) return hour.error();
  const auto day = acted(respond::day_window);
  if (!day) return day.error();
  use.size = *size;
  use.acted_hour = *hour;
  use.acted_day = *day;
  return use;
}

Result<respond::Canary> canary_of(store::Transaction& tx, const std::string& rule) {
  const auto rows = tx.query("SELECT state FROM governor_canaries WHERE rule=$1", {rule});
  if (!rows) return rows.error();
  if (rows->empty()) return respond::Canary::none_yet;
  const std::string& state = rows->at(0).text(0);
  return state == "proven"   ? respond::Canary::proven
         : state == "failed" ? respond::Canary::failed
                             : respond::Canary::waiting;
}

Result<respond::Question> question_for(store::Transaction& tx, const Policy& policy, const Action& action,
                                       Instant now) {
  respond::Question q;
  for (const std::string& group : groups_or_own(action.groups)) {
    auto use = use_of(tx, group, action.thing, now);
    if (!use) return use.error();
    q.groups.push_back(std::move(*use));
  }
  const auto hits = count(tx.query("SELECT count(*) FROM governor_hits WHERE behavior=$1 AND at_ms > $2",
                                   {action.rule, to_ms(now - respond::brake_window)}));
  if (!hits) return hits.error();
  const auto brakes = count(tx.query("SELECT count(*) FROM governor_brakes WHERE behavior=$1", {action.rule}));
  if (!brakes) return brakes.error();
  const auto canary = canary_of(tx, fmt::format("{}/{}", action.entry, action.rule));
  if (!canary) return canary.error();
  const auto stop = stop_switch_is_on(tx);
  if (!stop) return stop.error();
  q.behavior_things = *hits;
  q.brake_on = *brakes > 0;
  q.canary = *canary;
  q.stop_switch = *stop;
  q.protected_thing = respond::is_protected(policy.playbook, action.thing, action.groups);
  return q;
}

// ---- decisions

Status note_acted(store::Transaction& tx, const Action& action, Instant now) {
  for (const std::string& group : groups_or_own(action.groups)) {
    const Status noted = done(tx.execute("INSERT INTO governor_acted VALUES($1, $2, $3) ON CONFLICT DO NOTHING",
                                         {group, action.thing, to_ms(now)}));
    if (!noted) return noted;
  }
  return done(tx.execute("INSERT INTO governor_canaries VALUES($1, $2, 'waiting') ON CONFLICT DO NOTHING",
                         {fmt::format("{}/{}", action.entry, action.rule), action.id}));
}

// What becomes of a proposed action: it begins, asks, or waits.
Status settle(store::Transaction& tx, const Policy& policy, Action& action, respond::EntryMode mode, Instant now) {
  const bool observed = !policy.enforcing || mode == respond::EntryMode::observe;
  if (observed) {
    action.mode = "observe";
    action.wait_reason = "observe: nothing is done";
    return detail::record_step(tx, action, "observed", responder, "would have acted", now);
  }
  if (mode == respond::EntryMode::ask || action.level == fleet::HoldLevel::revoke) {
    action.state = ActionState::awaiting_approval;
    action.wait_reason =
        action.level == fleet::HoldLevel::revoke ? "revocation is a person's decision" : "the playbook asks";
    return detail::record_step(tx, action, "awaiting_approval", responder, action.wait_reason, now);
  }
  const auto question = question_for(tx, policy, action, now);
  if (!question) return question.error();
  const respond::Answer answer = respond::ask_governor(*question);
  if (answer.trips_brake) {
    const Status tripped = done(
        tx.execute("INSERT INTO governor_brakes VALUES($1, $2) ON CONFLICT DO NOTHING", {action.rule, to_ms(now)}));
    if (!tripped) return tripped;
  }
  if (answer.verdict == respond::Verdict::act) {
    if (const Status noted = note_acted(tx, action, now); !noted) return noted;
    return detail::execute(tx, action, responder, "the playbook acts and the governor allows", now);
  }
  const bool waits = answer.verdict == respond::Verdict::wait;
  const ActionState next = waits ? ActionState::proposed : ActionState::awaiting_approval;
  if (waits && action.wait_reason == answer.why) return {};  // asked again, the same answer
  action.state = next;
  action.wait_reason = answer.why;
  return detail::record_step(tx, action, waits ? "waiting" : "awaiting_approval", responder, answer.why, now);
}

// An action that is open for this thing by this entry takes further violations in.
// A revocation that only waits for a person is no such action: it does not keep a released thing off the network.
Result<std::optional<Action>> open_action(store::Transaction& tx, const std::string& thing,
                                          const respond::PlaybookEntry& entry) {
  const auto rows = tx.query(
      "SELECT id FROM actions WHERE thing=$1 AND entry=$2 AND state NOT IN ('released', 'refused', 'failed') AND "
      "(level=$3 OR state NOT IN ('proposed', 'awaiting_approval')) ORDER BY created_ms DESC LIMIT 1",
      {thing, entry.name, std::string(to_string(entry.level))});
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<Action>();
  auto action = get_action(tx, rows->at(0).text(0));
  if (!action) return action.error();
  return std::optional(std::move(*action));
}

// What was proposed as the next step of an action that is released is off the table, and a canary that was released
// before its proof makes way for another one.
Status withdraw_what_follows(store::Transaction& tx, const Action& released, const std::string& actor, Instant now) {
  auto waiting = actions_in(tx, {ActionState::awaiting_approval}, 1000);
  if (!waiting) return waiting.error();
  for (Action& next : *waiting) {
    if (next.follows != released.id) continue;
    next.state = ActionState::refused;
    next.wait_reason.clear();
    if (const Status s =
            detail::record_step(tx, next, "refused", actor, "the action that it follows was released", now);
        !s)
      return s;
  }
  return done(tx.execute("DELETE FROM governor_canaries WHERE action=$1 AND state='waiting'", {released.id}));
}

std::string reason_of(const fleet::ViolationEvent& v) {
  return fmt::format("{}/{}: expected {}, seen {}", v.profile, v.behavior.name, v.expected, v.seen)
      .substr(0, reason_bytes_max);
}

Action action_for(const respond::PlaybookEntry& entry, const fleet::ViolationEvent& v, Instant now) {
  Action a;
  a.id = crypto::id_from("action", entry.name, v.violation_id);
  a.thing = v.thing;
  a.thing_id = v.thing_id;
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

}  // namespace

Result<std::optional<Action>> decide(store::Transaction& tx, const Policy& policy, const fleet::ViolationEvent& v,
                                     Instant now) {
  if (v.type != fleet::ViolationEventType::in_alarm || v.behavior.suppress_alerts) return std::optional<Action>();
  const respond::PlaybookEntry* entry = respond::find_entry(policy.playbook, v);
  if (entry == nullptr) return std::optional<Action>();
  const std::string rule = fmt::format("{}/{}", v.profile, v.behavior.name);
  const Status hit = done(tx.execute(
      "INSERT INTO governor_hits VALUES($1, $2, $3) ON CONFLICT(behavior, thing) DO UPDATE SET at_ms=excluded.at_ms",
      {rule, v.thing, to_ms(now)}));
  if (!hit) return hit.error();
  auto open = open_action(tx, v.thing, *entry);
  if (!open) return open.error();
  // What was only observed does not stand in the way once we enforce.
  const bool only_observed = *open && (**open).mode == "observe" && policy.enforcing;
  if (*open && !only_observed) {
    Action& action = **open;
    if (std::find(action.violations.begin(), action.violations.end(), v.violation_id) != action.violations.end())
      return open;
    if (action.violations.size() >= violations_joined_max) return open;  // it says enough
    action.violations.push_back(v.violation_id);
    if (action.reason.size() < reason_bytes_max) action.reason += "; " + reason_of(v);
    action.gateway_seen = action.gateway_seen || v.gateway_seen;
    if (const Status joined = detail::record_step(tx, action, "violation_joined", responder, reason_of(v), now);
        !joined)
      return joined.error();
    return open;
  }
  Action action = action_for(*entry, v, now);
  const auto existing = tx.query("SELECT 1 FROM actions WHERE id=$1", {action.id});
  if (!existing) return existing.error();
  if (!existing->empty()) return std::optional<Action>();  // what is closed stays closed
  if (const Status made = detail::insert_action(tx, action); !made) return made.error();
  if (const Status settled = settle(tx, policy, action, entry->mode, now); !settled) return settled.error();
  return std::optional(std::move(action));
}

Status reconsider_waiting(store::Transaction& tx, const Policy& policy, Instant now) {
  auto waiting = actions_in(tx, {ActionState::proposed}, 1000);
  if (!waiting) return waiting.error();
  for (Action& action : *waiting) {
    const respond::PlaybookEntry* entry = respond::entry_named(policy.playbook, action.entry);
    if (action.mode == "observe" || entry == nullptr) continue;
    if (const Status settled = settle(tx, policy, action, entry->mode, now); !settled) return settled;
  }
  return {};
}

Result<Action> act_by_hand(store::Transaction& tx, const std::string& thing, const std::string& thing_id,
                           fleet::HoldLevel level, const std::string& reason, const std::string& actor, Millis lease,
                           Instant now) {
  auto groups = all_groups_of(tx, thing);
  if (!groups) return groups.error();
  Action a;
  a.id = crypto::id_from("action", "by-hand", actor, thing, std::string(to_string(level)), std::to_string(to_ms(now)));
  a.thing = thing;
  a.thing_id = thing_id;
  a.level = level;
  a.mode = "enforce";
  a.reason = reason;
  a.requested_by = actor;
  a.approved_by = actor;
  a.groups = std::move(*groups);
  a.lease_end = now + lease;
  a.stopwatch.received = a.stopwatch.detected = a.stopwatch.decided = now;
  a.created = a.updated = now;
  if (const Status made = detail::insert_action(tx, a); !made) return made.error();
  if (const Status begun = detail::execute(tx, a, actor, reason, now); !begun) return begun.error();
  return a;
}

Result<Action> approve(store::Transaction& tx, const std::string& id, const std::string& actor, const std::string& why,
                       Instant now) {
  auto action = waiting_for_person(tx, id);
  if (!action) return action.error();
  if (action->requested_by == actor)
    return Error(ErrorCode::permission_denied, "whoever asks for an action may not approve it");
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
  action->state = ActionState::refused;
  action->wait_reason.clear();
  if (const Status s = detail::record_step(tx, *action, "refused", actor, why, now); !s) return s.error();
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

Result<bool> stop_switch_is_on(store::Transaction& tx) {
  const auto rows = tx.query("SELECT is_on FROM stop_switch");
  if (!rows) return rows.error();
  return !rows->empty() && rows->at(0).integer(0) == 1;
}

Status set_stop_switch(store::Transaction& tx, bool on, const std::string& actor, const std::string& why, Instant now) {
  return done(
      tx.execute("INSERT INTO stop_switch VALUES(1, $1, $2, $3, $4) ON CONFLICT(one) DO UPDATE SET "
                 "is_on=excluded.is_on, actor=excluded.actor, why=excluded.why, at_ms=excluded.at_ms",
                 {std::int64_t{on ? 1 : 0}, actor, why, to_ms(now)}));
}

Status release_brake(store::Transaction& tx, const std::string& behavior) {
  return done(behavior == "*" ? tx.execute("DELETE FROM governor_brakes")
                              : tx.execute("DELETE FROM governor_brakes WHERE behavior=$1", {behavior}));
}

}  // namespace fleetward::repository
