// why DEVICE: everything that explains a device's state, in words.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

constexpr std::size_t items_max = 20;

struct Story {
  json::Value thing;
  std::vector<json::Value> alarms;
  std::vector<json::Value> actions;
};

Result<Story> read_story(ApiClient& api, const std::string& name) {
  Story story;
  Result<json::Value> thing = api.get("/v1/things/" + percent_encode(name));
  if (!thing) return thing.error();
  story.thing = std::move(*thing);
  bool truncated = false;
  auto alarms = api.list("/v1/violations?thing=" + percent_encode(name), "violations", items_max, &truncated);
  if (!alarms) return alarms.error();
  story.alarms = std::move(*alarms);
  auto actions = api.list("/v1/actions?thing=" + percent_encode(name), "actions", items_max, &truncated);
  if (!actions) return actions.error();
  story.actions = std::move(*actions);
  return story;
}

void tell_alarms(std::ostream& out, const std::vector<json::Value>& alarms) {
  if (alarms.empty()) {
    out << "  It is not in alarm.\n";
    return;
  }
  out << "  In alarm:\n";
  for (const json::Value& alarm : alarms) {
    const json::Value behavior = alarm.value("behavior", json::Value::object());
    out << fmt::format("    since {}: {} of profile {}\n      expected {}\n      seen     {}\n",
                       time_of(alarm, "violationStartTime"), printable(text_of(behavior, "name")),
                       printable(text_of(alarm, "securityProfileName")), printable(text_of(alarm, "expected"), 512),
                       printable(text_of(alarm, "seen"), 512));
  }
}

void tell_actions(std::ostream& out, const std::vector<json::Value>& actions) {
  if (actions.empty()) {
    out << "  Nothing was done to it.\n";
    return;
  }
  out << "  Done, or waiting for a person:\n";
  for (const json::Value& action : actions) {
    out << fmt::format("    {}: {} (action {})\n      because {}\n", text_of(action, "level"), text_of(action, "state"),
                       printable(text_of(action, "id")), printable(text_of(action, "reason"), 512));
    if (text_of(action, "state") == "awaiting_approval") {
      out << fmt::format("      to go ahead: fleetward actions approve {} --reason TEXT\n", text_of(action, "id"));
    }
    if (text_of(action, "state") == "in_effect") {
      out << fmt::format("      to end it:   fleetward actions release {} --reason TEXT\n", text_of(action, "id"));
    }
  }
}

ExitCode run_why(Invocation& invocation, ApiClient& api) {
  const std::string& name = invocation.arguments()[0];
  const Result<Story> story = read_story(api, name);
  if (!story) return invocation.fail(story.error());
  if (invocation.wants_json()) {
    const json::Value all = {{"thing", story->thing}, {"violations", story->alarms}, {"actions", story->actions}};
    invocation.out << json::dump_pretty(all) << "\n";
    return ExitCode::ok;
  }
  const bool held = story->thing.contains("holds") && !story->thing["holds"].empty();
  invocation.out << fmt::format("{} {}.\n", printable(name), held ? "is held" : "is free");
  tell_alarms(invocation.out, story->alarms);
  tell_actions(invocation.out, story->actions);
  return ExitCode::ok;
}

}  // namespace

Command why_command() {
  return {.name = "why",
          .arguments = "DEVICE",
          .summary = "Tells why a device is as it is: alarms, what was done, what to do",
          .detail = "example: fleetward why cam-018",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_why};
}

}  // namespace fleetward::program
