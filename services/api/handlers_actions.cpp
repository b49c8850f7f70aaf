// Our own resources: actions and incidents, what waits for people.
#include "incident/incident.hpp"
#include "repository/action_repository.hpp"
#include "repository/incident_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

// ---- actions

Result<Value> list_actions(Call& call) {
  return list_page(
      call, by_limit, "actions",
      [&](const std::string& before, std::int64_t limit) {
        return repository::list_actions(call.tx, {call.text("thing"), call.text("state")}, before, limit);
      },
      repository::action_cursor, [](const auto& row) { return to_json(row); });
}

Result<Value> show_action(Call& call) {
  const auto action = repository::get_action(call.tx, call.text("id"));
  if (!action) return action.error();
  const auto steps = repository::steps_of(call.tx, action->id);
  if (!steps) return steps.error();
  Value out = to_json(*action);
  out["steps"] = Value::array();
  for (const auto& s : *steps)
    out["steps"].push_back({{"number", s.number},
                            {"time", to_ms(s.time)},
                            {"step", s.step},
                            {"actor", s.actor},
                            {"why", s.why},
                            {"hash", s.hash}});
  return out;
}

using Decide = Result<fleet::Action> (*)(store::Transaction&, const std::string&, const std::string&,
                                         const std::string&, Instant);
Result<Value> decide(Call& call, Decide what) {
  const auto action = what(call.tx, call.text("id"), call.who.name, call.text("reason"), call.now);
  if (!action) return action.error();
  return to_json(*action);
}
Result<Value> approve(Call& call) { return decide(call, repository::approve); }
Result<Value> refuse(Call& call) { return decide(call, repository::refuse); }
Result<Value> release(Call& call) { return decide(call, repository::release); }

// ---- incidents

Value incident_json(const fleet::Incident& i) {
  Value out = to_json(i);
  const incident::PageText text = incident::page_text(i);
  out["title"] = text.summary;
  out["text"] = text.description;
  out["commands"] = text.commands;
  return out;
}

Result<Value> list_incidents(Call& call) {
  const std::string state = call.text("state");
  const auto open = state.empty() ? std::nullopt : std::optional(state == "open");
  return list_page(
      call, by_limit, "incidents",
      [&](const std::string& before, std::int64_t limit) {
        return repository::list_incidents(call.tx, open, before, limit);
      },
      repository::incident_cursor, incident_json);
}

Result<Value> show_incident(Call& call) {
  const auto row = repository::get_incident(call.tx, call.text("id"));
  if (!row) return row.error();
  return incident_json(*row);
}

}  // namespace

std::vector<Operation> action_operations() {
  const Member id{"id", In::path, Kind::text, true, 1, 64};
  const Member reason{"reason", In::body, Kind::text, true, 1, 1000};
  const Member limit{"limit", In::query, Kind::integer, false, 1, page_max};
  const Member actions_limit{"limit", In::query, Kind::integer, false, 1, 500};
  const Member token{"nextToken", In::query, Kind::text, false, 1, 4096};
  const Member thing{"thing", In::query, Kind::text, false, 1, 128};
  const Member action_state{"state",
                            In::query,
                            Kind::text,
                            false,
                            1,
                            32,
                            "proposed|awaiting_approval|executing|verifying|in_effect|released|refused|failed"};
  const Member incident_state{"state", In::query, Kind::text, false, 1, 32, "open|closed"};
  return {
      {{"v1.actions.list", "GET", "/v1/actions", Right::read, {thing, action_state, actions_limit, token}},
       list_actions},
      {{"v1.actions.show", "GET", "/v1/actions/{id}", Right::read, {id}}, show_action},
      {{"v1.actions.approve", "POST", "/v1/actions/{id}/approve", Right::approve, {id, reason}}, approve},
      {{"v1.actions.refuse", "POST", "/v1/actions/{id}/refuse", Right::operate, {id, reason}}, refuse},
      {{"v1.actions.release", "POST", "/v1/actions/{id}/release", Right::operate, {id, reason}}, release},
      {{"v1.incidents.list", "GET", "/v1/incidents", Right::read, {incident_state, limit, token}}, list_incidents},
      {{"v1.incidents.show", "GET", "/v1/incidents/{id}", Right::read, {id}}, show_incident},
  };
}

}  // namespace fleetward::api
