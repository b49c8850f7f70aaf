// What makes the governor hold automatic action back, when it began and ended, and what people told it. Topic actions,
// beside the steps of actions, key "governor".
#pragma once

#include <optional>
#include <string>

#include "core/time.hpp"
#include "json/json.hpp"

namespace fleetward::fleet {

constexpr std::string_view governor_key = "governor";

enum class GovernorKind {
  stop_switch,    // a person's, in the store
  stop_file,      // a person's, beside the responder
  brake,          // subject: the behavior that too many things fell to
  cap,            // subject: the group whose hour or day is used up
  canary,         // subject: the rule whose first action failed, and that a person lets try again
  forged_record,  // subject: the topic that somebody else writes to; holds nothing back, is for people to know
};
std::string_view to_string(GovernorKind kind);
Result<GovernorKind> parse_governor_kind(std::string_view text);

enum class GovernorStep { raised, ended, reset };
std::string_view to_string(GovernorStep step);
Result<GovernorStep> parse_governor_step(std::string_view text);

// Something that holds automatic action back now.
struct GovernorCondition {
  GovernorKind kind = GovernorKind::stop_switch;
  std::string subject;
  std::string actor;  // who or what raised it
  std::string why;
  Instant since;
  friend bool operator==(const GovernorCondition&, const GovernorCondition&) = default;
};
json::Value to_json(const GovernorCondition& condition);
Result<GovernorCondition> governor_condition_from_json(const json::Value& value);

struct GovernorEvent {
  std::string id;
  std::int64_t number = 0;  // in the governor's log
  GovernorStep step = GovernorStep::raised;
  std::string actor;  // of the step
  std::string why;
  Instant time;
  GovernorCondition condition;
  friend bool operator==(const GovernorEvent&, const GovernorEvent&) = default;
};
json::Value to_json(const GovernorEvent& event);
Result<GovernorEvent> governor_event_from_json(const json::Value& value);

}  // namespace fleetward::fleet
