#include "repository/governor_store.hpp"

#include "fleet/topics.hpp"
#include "repository/changed.hpp"
#include "repository/governor_log.hpp"
#include "repository/registry_repository.hpp"

namespace fleetward::repository::detail {
namespace {

using fleet::Action;
using fleet::GovernorKind;

std::vector<std::string> groups_or_own(const std::vector<std::string>& groups) {
  return groups.empty() ? std::vector<std::string>{std::string(ungrouped)} : groups;
}

respond::Canary canary_of(const store::Row& row, std::size_t column) {
  if (row.is_null(column)) return respond::Canary::none_yet;
  const std::string& state = row.text(column);
  return state == "proven"   ? respond::Canary::proven
         : state == "failed" ? respond::Canary::failed
                             : respond::Canary::waiting;
}

}  // namespace

std::string canary_rule(const Action& action) { return fmt::format("{}/{}", action.entry, action.rule); }

Result<respond::Question> question_for(store::Transaction& tx, const Policy& policy, const Action& action,
                                       Instant now) {
  respond::Question q;
  for (const std::string& group : groups_or_own(action.groups)) {
    auto use = use_of(tx, group, action.thing, now);
    if (!use) return use.error();
    q.groups.push_back(std::move(*use));
  }
  // In one question: each way to the server and back is time until the cut.
  const auto rows = tx.query(
      "SELECT (SELECT count(*) FROM governor_hits WHERE behavior=$1 AND at_ms > $2), (SELECT count(*) FROM "
      "governor_conditions WHERE kind=$3 AND subject=$1), (SELECT count(*) FROM governor_conditions WHERE kind=$4 AND "
      "subject=$5), (SELECT state FROM governor_canaries WHERE rule=$6)",
      {action.rule, to_ms(now - respond::brake_window), std::string(to_string(GovernorKind::brake)),
       std::string(to_string(GovernorKind::stop_switch)), "", canary_rule(action)});
  if (!rows) return rows.error();
  const store::Row& row = rows->at(0);
  q.behavior = action.rule;
  q.behavior_things = row.integer(0);
  q.brake_on = row.integer(1) > 0;
  q.canary = canary_of(row, 3);
  q.stop_switch = row.integer(2) > 0 || policy.stopped;
  q.protected_thing = respond::is_protected(policy.playbook, action.thing, action.groups);
  return q;
}

Status note_hit(store::Transaction& tx, const std::string& behavior, const std::string& thing, Instant now) {
  return done(tx.execute(
      "INSERT INTO governor_hits VALUES($1, $2, $3) ON CONFLICT(behavior, thing) DO UPDATE SET at_ms=excluded.at_ms",
      {behavior, thing, to_ms(now)}));
}

Status note_answer(store::Transaction& tx, const Action& action, const respond::Answer& answer, Instant now) {
  const std::string responder = "responder";
  if (answer.trips_brake) return raise(tx, {GovernorKind::brake, action.rule, responder, answer.why, now});
  if (answer.exhausts_cap) return raise(tx, {GovernorKind::cap, answer.group, responder, answer.why, now});
  return {};
}

Status note_acted(store::Transaction& tx, const Action& action, Instant now) {
  for (const std::string& group : groups_or_own(action.groups)) {
    const Status noted = done(tx.execute("INSERT INTO governor_acted VALUES($1, $2, $3) ON CONFLICT DO NOTHING",
                                         {group, action.thing, to_ms(now)}));
    if (!noted) return noted;
  }
  return done(
      tx.execute("INSERT INTO governor_canaries(rule, action, state, used_ms) VALUES($1, $2, 'waiting', $3) ON "
                 "CONFLICT(rule) DO UPDATE SET used_ms=excluded.used_ms",
                 {canary_rule(action), action.id, to_ms(now)}));
}

Status forget_waiting_canary(store::Transaction& tx, const Action& action) {
  return done(tx.execute("DELETE FROM governor_canaries WHERE action=$1 AND state='waiting'", {action.id}));
}

}  // namespace fleetward::repository::detail
