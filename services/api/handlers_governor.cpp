// Our own resources: the governor, what holds automatic action back and what lets it go on.
#include "repository/governor_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using fleet::GovernorKind;
using json::Value;

constexpr std::int64_t canaries_shown = 500;
constexpr std::int64_t groups_shown = 100;
constexpr std::int64_t log_shown = 50;

Value use_json(const respond::GroupUse& use) {
  const respond::Caps caps = respond::caps_for(use.size);
  return {{"group", use.name},    {"size", use.size},          {"actedHour", use.acted_hour},
          {"capHour", caps.hour}, {"actedDay", use.acted_day}, {"capDay", caps.day}};
}

Value canary_json(const repository::CanaryRow& c) {
  return {{"rule", c.rule}, {"action", c.action}, {"state", c.state}, {"used", to_ms(c.used)}};
}

bool stops(const fleet::GovernorCondition& c) {
  return c.kind == GovernorKind::stop_switch || c.kind == GovernorKind::stop_file;
}

Result<Value> show_governor(Call& call) {
  const auto conditions = repository::governor_conditions(call.tx);
  if (!conditions) return conditions.error();
  const auto canaries = repository::list_canaries(call.tx, canaries_shown);
  if (!canaries) return canaries.error();
  const auto groups = repository::group_uses(call.tx, call.now, groups_shown);
  if (!groups) return groups.error();
  const auto log = repository::governor_log(call.tx, log_shown);
  if (!log) return log.error();
  Value out = {{"stopped", std::any_of(conditions->begin(), conditions->end(), stops)},
               {"conditions", Value::array()},
               {"canaries", Value::array()},
               {"groups", Value::array()},
               {"log", Value::array()}};
  for (const auto& c : *conditions) out["conditions"].push_back(to_json(c));
  for (const auto& c : *canaries) out["canaries"].push_back(canary_json(c));
  for (const auto& g : *groups) out["groups"].push_back(use_json(g));
  for (const auto& e : *log) out["log"].push_back(to_json(e));
  return out;
}

Result<Value> release_brake(Call& call) {
  const Status done =
      repository::release_brake(call.tx, call.text("behavior"), call.who.name, call.text("reason"), call.now);
  if (!done) return done.error();
  return show_governor(call);
}

Result<Value> reset_canary(Call& call) {
  const Status done =
      repository::reset_canary(call.tx, call.text("rule"), call.who.name, call.text("reason"), call.now);
  if (!done) return done.error();
  return show_governor(call);
}

// `on` is the stored switch; `stopped` is true as well while a responder sees its stop file.
Result<Value> get_stop_switch(Call& call) {
  const auto conditions = repository::governor_conditions(call.tx);
  if (!conditions) return conditions.error();
  Value out = {{"on", false}, {"stopped", false}};
  for (const auto& c : *conditions) {
    if (!stops(c)) continue;
    out["stopped"] = true;
    if (c.kind == GovernorKind::stop_file) {
      out["file"] = c.subject;
      continue;
    }
    out["on"] = true;
    out["actor"] = c.actor;
    out["reason"] = c.why;
    out["since"] = to_ms(c.since);
  }
  return out;
}

Result<Value> put_stop_switch(Call& call) {
  const bool on = call.args.boolean("on", true);
  const Status done = repository::set_stop_switch(call.tx, on, call.who.name, call.text("reason"), call.now);
  if (!done) return done.error();
  return get_stop_switch(call);
}

}  // namespace

std::vector<Operation> governor_operations() {
  const Member reason{"reason", In::body, Kind::text, true, 1, 1000};
  return {
      {{"v1.governor.show", "GET", "/v1/governor", Right::read, {}}, show_governor},
      {{"v1.governor.release-brake",
        "POST",
        "/v1/governor/release-brake",
        Right::approve,
        {{"behavior", In::body, Kind::text, true, 1, 512}, reason}},
       release_brake},
      {{"v1.governor.reset-canary",
        "POST",
        "/v1/governor/reset-canary",
        Right::approve,
        {{"rule", In::body, Kind::text, true, 1, 1024}, reason}},
       reset_canary},
      {{"v1.stop-switch.show", "GET", "/v1/stop-switch", Right::read, {}}, get_stop_switch},
      {{"v1.stop-switch.set",
        "PUT",
        "/v1/stop-switch",
        Right::approve,
        {{"on", In::body, Kind::boolean, true}, reason}},
       put_stop_switch},
  };
}

}  // namespace fleetward::api
