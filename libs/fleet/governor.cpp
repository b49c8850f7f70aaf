#include "fleet/governor.hpp"

#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 6> kind_names = {"stop_switch", "stop_file", "brake",
                                                        "cap",         "canary",    "forged_record"};
constexpr std::array<std::string_view, 3> step_names = {"raised", "ended", "reset"};

template <class T, std::size_t N>
Result<T> parse(const std::array<std::string_view, N>& names, std::string_view text, const char* what) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<T>(i);
  }
  return Error(ErrorCode::invalid_argument, fmt::format("the governor's {} is not known", what));
}

}  // namespace

std::string_view to_string(GovernorKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }
std::string_view to_string(GovernorStep step) { return step_names[static_cast<std::size_t>(step)]; }
Result<GovernorKind> parse_governor_kind(std::string_view text) {
  return parse<GovernorKind>(kind_names, text, "condition");
}
Result<GovernorStep> parse_governor_step(std::string_view text) {
  return parse<GovernorStep>(step_names, text, "step");
}

json::Value to_json(const GovernorCondition& c) {
  return {{"kind", to_string(c.kind)},
          {"subject", c.subject},
          {"actor", c.actor},
          {"why", c.why},
          {"since", to_ms(c.since)}};
}

Result<GovernorCondition> governor_condition_from_json(const json::Value& value) {
  json::Reader r(value, "governorCondition");
  const auto kind = parse_governor_kind(r.text("kind"));
  if (!kind) r.problem("kind", kind.error().message);
  GovernorCondition c;
  c.subject = r.text_or("subject", "", 4096);
  c.actor = r.text_or("actor", "", 256);
  c.why = r.text_or("why", "", 4096);
  c.since = r.instant_ms("since");
  if (const Status s = r.finish(); !s) return s.error();
  c.kind = *kind;
  return c;
}

json::Value to_json(const GovernorEvent& e) {
  return {{"id", e.id},   {"number", e.number},    {"step", to_string(e.step)},        {"actor", e.actor},
          {"why", e.why}, {"time", to_ms(e.time)}, {"condition", to_json(e.condition)}};
}

Result<GovernorEvent> governor_event_from_json(const json::Value& value) {
  json::Reader r(value, "governorEvent");
  GovernorEvent e;
  e.id = r.text("id", 1, 128);
  e.number = r.integer("number", 0, std::numeric_limits<std::int64_t>::max());
  const auto step = parse_governor_step(r.text("step"));
  if (!step) r.problem("step", step.error().message);
  e.actor = r.text_or("actor", "", 256);
  e.why = r.text_or("why", "", 4096);
  e.time = r.instant_ms("time");
  const json::Value* condition = r.required("condition");
  if (const Status s = r.finish(); !s) return s.error();
  auto parsed = governor_condition_from_json(*condition);
  if (!parsed) return parsed.error();
  e.step = *step;
  e.condition = std::move(*parsed);
  return e;
}

}  // namespace fleetward::fleet
