#include "fleet/action.hpp"

#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 8> state_names = {"proposed",  "awaiting_approval", "executing", "verifying",
                                                         "in_effect", "released",          "refused",   "failed"};
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t evidence_max = 200;

json::Value stopwatch_to_json(const Stopwatch& w) {
  return {{"received", to_ms(w.received)},
          {"detected", to_ms(w.detected)},
          {"decided", to_ms(w.decided)},
          {"enforced", to_ms(w.enforced)},
          {"verified", to_ms(w.verified)}};
}

}  // namespace

std::string_view to_string(ActionState state) { return state_names[static_cast<std::size_t>(state)]; }

Result<ActionState> parse_action_state(std::string_view text) {
  for (std::size_t i = 0; i < state_names.size(); ++i) {
    if (state_names[i] == text) return static_cast<ActionState>(i);
  }
  return Error(ErrorCode::invalid_argument, "the action's state is not known");
}

bool is_closed(ActionState state) {
  return state == ActionState::released || state == ActionState::refused || state == ActionState::failed;
}

json::Value to_json(const Action& a) {
  json::Value evidence = json::Value::array();
  for (const Evidence& e : a.evidence) {
    evidence.push_back(
        {{"time", to_ms(e.time)}, {"kind", e.kind}, {"where", e.where}, {"good", e.good}, {"text", e.text}});
  }
  json::Value out = {{"id", a.id},
                     {"thing", a.thing},
                     {"thingId", a.thing_id},
                     {"level", to_string(a.level)},
                     {"state", to_string(a.state)},
                     {"entry", a.entry},
                     {"rule", a.rule},
                     {"mode", a.mode},
                     {"severity", a.severity},
                     {"reason", a.reason},
                     {"waitReason", a.wait_reason},
                     {"requestedBy", a.requested_by},
                     {"approvedBy", a.approved_by},
                     {"violations", a.violations},
                     {"cleared", a.cleared},
                     {"invalidated", a.invalidated},
                     {"certificates", a.certificates},
                     {"groups", a.groups},
                     {"gatewaySeen", a.gateway_seen},
                     {"leaseEnd", to_ms(a.lease_end)},
                     {"accessVersion", a.access_version},
                     {"follows", a.follows},
                     {"stopwatch", stopwatch_to_json(a.stopwatch)},
                     {"evidence", std::move(evidence)},
                     {"created", to_ms(a.created)},
                     {"updated", to_ms(a.updated)}};
  if (a.claimed) out["claimed"] = true;
  return out;
}

Result<Action> action_from_json(const json::Value& value) {
  json::Reader r(value, "action");
  Action a;
  a.id = r.text("id", 1, 64);
  a.thing = r.text("thing", 1, 128);
  a.thing_id = r.text_or("thingId", "", 64);
  const auto level = parse_hold_level(r.text("level"));
  const auto state = parse_action_state(r.text("state"));
  if (!level) r.problem("level", level.error().message);
  if (!state) r.problem("state", state.error().message);
  a.entry = r.text_or("entry", "", 128);
  a.rule = r.text_or("rule", "", 512);
  a.mode = r.text_or("mode", "", 16);
  a.severity = r.text_or("severity", "critical", 16);
  a.reason = r.text_or("reason", "", 16'384);
  a.wait_reason = r.text_or("waitReason", "", 1024);
  a.requested_by = r.text_or("requestedBy", "", 256);
  a.approved_by = r.text_or("approvedBy", "", 256);
  a.violations = r.texts_or_empty("violations", 1000, 64);
  a.cleared = r.texts_or_empty("cleared", 1000, 64);
  a.invalidated = r.texts_or_empty("invalidated", 1000, 64);
  a.certificates = r.texts_or_empty("certificates", 1000, 64);
  a.groups = r.texts_or_empty("groups", 256, 128);
  a.gateway_seen = r.boolean_or("gatewaySeen", false);
  a.claimed = r.boolean_or("claimed", false);
  a.lease_end = r.instant_ms("leaseEnd");
  a.access_version = r.integer_or("accessVersion", 0, 0, any_max);
  a.follows = r.text_or("follows", "", 64);
  a.created = r.instant_ms("created");
  a.updated = r.instant_ms("updated");
  if (const json::Value* watch = r.required("stopwatch")) {
    json::Reader w(*watch, "action.stopwatch");
    a.stopwatch = {w.instant_ms("received"), w.instant_ms("detected"), w.instant_ms("decided"),
                   w.instant_ms("enforced"), w.instant_ms("verified")};
    if (const Status s = w.finish(); !s) r.problem("stopwatch", s.error().message);
  }
  const json::Value* evidence = r.member("evidence");
  if (evidence != nullptr && (!evidence->is_array() || evidence->size() > evidence_max))
    r.problem("evidence", "is not a short list");
  if (const Status s = r.finish(); !s) return s.error();
  for (std::size_t i = 0; evidence != nullptr && i < evidence->size(); ++i) {
    json::Reader e((*evidence)[i], "action.evidence");
    a.evidence.push_back({e.instant_ms("time"), e.text("kind"), e.text_or("where", ""), e.boolean_or("good", false),
                          e.text_or("text", "")});
    if (const Status s = e.finish(); !s) return s.error();
  }
  a.level = *level;
  a.state = *state;
  return a;
}

json::Value to_json(const ActionEvent& e) {
  return {{"id", e.id},
          {"number", e.number},
          {"step", e.step},
          {"actor", e.actor},
          {"why", e.why},
          {"time", to_ms(e.time)},
          {"action", to_json(e.action)}};
}

Result<ActionEvent> action_event_from_json(const json::Value& value) {
  json::Reader r(value, "actionEvent");
  ActionEvent e;
  e.id = r.text("id", 1, 128);
  e.number = r.integer("number", 0, any_max);
  e.step = r.text("step", 1, 64);
  e.actor = r.text_or("actor", "", 256);
  e.why = r.text_or("why", "", 4096);
  e.time = r.instant_ms("time");
  const json::Value* action = r.required("action");
  if (const Status s = r.finish(); !s) return s.error();
  auto parsed = action_from_json(*action);
  if (!parsed) return parsed.error();
  e.action = std::move(*parsed);
  return e;
}

}  // namespace fleetward::fleet
