// governor show, release-brake, reset-canary, stop, resume.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"
#include "services/fleetward/table.hpp"

namespace fleetward::program {
namespace {

// "3 of 5"
std::string part_of(const json::Value& group, std::string_view acted, std::string_view cap) {
  return fmt::format("{} of {}", text_of(group, acted), text_of(group, cap));
}

const json::Value& member_of(const json::Value& object, std::string_view member) {
  static const json::Value none;
  const auto found = object.find(member);
  return found == object.end() ? none : *found;
}

// A list of the answer as a table of its own; nothing when it is empty.
void print_part(const Invocation& invocation, const json::Value& governor, std::string_view member,
                const std::vector<Column>& columns) {
  const json::Value& list = member_of(governor, member);
  if (!list.is_array() || list.empty()) return;
  std::vector<std::string> headings;
  for (const Column& column : columns) headings.emplace_back(column.heading);
  Table table(headings);
  for (const json::Value& item : list) {
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(column.text(item));
    table.add(std::move(cells));
  }
  invocation.out << "\n" << table.to_text("");
}

ExitCode print_governor(Invocation& invocation, const json::Value& governor) {
  const auto of_condition = [](std::string_view heading, std::string_view member) {
    return Column{heading,
                  [member](const json::Value& event) { return text_of(member_of(event, "condition"), member); }};
  };
  const ExitCode printed = print_object(
      invocation, governor,
      {{"AUTOMATIC ACTION", [](const json::Value& g) { return text_of(g, "stopped") == "true" ? "stopped" : "on"; }}});
  if (invocation.wants_json()) return printed;
  print_part(invocation, governor, "conditions",
             {member_column("HOLDS BACK", "kind"), member_column("OF", "subject"), time_column("SINCE", "since"),
              member_column("BY", "actor"), member_column("WHY", "why")});
  print_part(invocation, governor, "canaries",
             {member_column("CANARY", "rule"), member_column("STATE", "state"), member_column("ACTION", "action"),
              time_column("USED", "used")});
  print_part(invocation, governor, "groups",
             {member_column("GROUP", "group"),
              member_column("THINGS", "size"),
              {"LAST HOUR", [](const json::Value& g) { return part_of(g, "actedHour", "capHour"); }},
              {"LAST DAY", [](const json::Value& g) { return part_of(g, "actedDay", "capDay"); }}});
  print_part(invocation, governor, "log",
             {time_column("TIME", "time"), member_column("STEP", "step"), of_condition("WHAT", "kind"),
              of_condition("OF", "subject"), member_column("BY", "actor"), member_column("WHY", "why")});
  return printed;
}

ExitCode run_show(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> governor = api.get("/v1/governor");
  if (!governor) return invocation.fail(governor.error());
  return print_governor(invocation, *governor);
}

// A decision about what `member` names by the command's argument.
ExitCode tell(Invocation& invocation, ApiClient& api, std::string_view target, std::string_view member) {
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: it is kept with the decision");
  json::Value body = {{"reason", *reason}};
  body[std::string(member)] = invocation.arguments()[0];
  const Result<json::Value> governor = api.post(target, body);
  if (!governor) return invocation.fail(governor.error());
  return print_governor(invocation, *governor);
}

ExitCode run_release_brake(Invocation& invocation, ApiClient& api) {
  return tell(invocation, api, "/v1/governor/release-brake", "behavior");
}
ExitCode run_reset_canary(Invocation& invocation, ApiClient& api) {
  return tell(invocation, api, "/v1/governor/reset-canary", "rule");
}

ExitCode turn(Invocation& invocation, ApiClient& api, bool on) {
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: it is kept with the decision");
  const Result<json::Value> state = api.put("/v1/stop-switch", {{"on", on}, {"reason", *reason}});
  if (!state) return invocation.fail(state.error());
  const ExitCode printed =
      print_object(invocation, *state,
                   {member_column("SWITCH ON", "on"), member_column("STOPPED", "stopped"), member_column("BY", "actor"),
                    time_column("SINCE", "since"), member_column("WHY", "reason"), member_column("STOP FILE", "file")});
  const std::string file = text_of(*state, "file");
  if (!on && !file.empty())
    invocation.err << fmt::format("fleetward: it stays stopped until the file {} is removed\n", printable(file));
  return printed;
}

ExitCode run_stop(Invocation& invocation, ApiClient& api) { return turn(invocation, api, true); }
ExitCode run_resume(Invocation& invocation, ApiClient& api) { return turn(invocation, api, false); }

Command decision(std::string_view name, std::string_view argument, std::string_view summary, std::string_view detail,
                 ExitCode (*run)(Invocation&, ApiClient&)) {
  const std::size_t arguments = argument.empty() ? 0 : 1;
  return {.name = name,
          .arguments = argument,
          .summary = summary,
          .detail = detail,
          .options = {{"reason", "TEXT", "why; kept with the decision"}},
          .arguments_min = arguments,
          .arguments_max = arguments,
          .run_with_api = run};
}

}  // namespace

Command governor_show_command() {
  return {.name = "governor show",
          .summary = "Shows what holds automatic action back: stops, brakes, caps, canaries",
          .detail = "example: fleetward governor show -o json",
          .run_with_api = run_show};
}

Command governor_release_brake_command() {
  return decision("governor release-brake", "PROFILE/BEHAVIOR", "Lets a brake go; needs the right to approve",
                  "\"*\" lets every brake go. What asks meanwhile goes on asking.\n"
                  "example: fleetward governor release-brake cameras/ports --reason \"planned update\"",
                  run_release_brake);
}

Command governor_reset_canary_command() {
  return decision("governor reset-canary", "ENTRY/PROFILE/BEHAVIOR",
                  "Lets a rule try again whose first action failed; needs the right to approve",
                  "Its next action is a canary again.\n"
                  "example: fleetward governor reset-canary isolate/cameras/ports --reason \"the gateway was down\"",
                  run_reset_canary);
}

Command governor_stop_command() {
  return decision(
      "governor stop", "", "Stops automatic action; needs the right to approve",
      "With the API down, make the file responder.stop_file (STOP in the data folder) where the responder runs.\n"
      "example: fleetward governor stop --reason \"false alarms after the update\"",
      run_stop);
}

Command governor_resume_command() {
  return decision("governor resume", "", "Lets automatic action go on; needs the right to approve",
                  "A stop file goes on stopping until it is removed.\n"
                  "example: fleetward governor resume --reason \"the profile is mended\"",
                  run_resume);
}

}  // namespace fleetward::program
