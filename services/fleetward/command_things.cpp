// things list, show, quarantine, release. (things enrol has a file of its own.)
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

std::string thing_path(std::string_view name) { return "/v1/things/" + percent_encode(name); }

// The strictest hold in words: "isolate (action 4f…)"; empty when the thing is free.
std::string held(const json::Value& thing) {
  const auto holds = thing.find("holds");
  if (holds == thing.end() || !holds->is_array()) return {};
  std::string out;
  for (const json::Value& hold : *holds) {
    if (!out.empty()) out += ", ";
    out += fmt::format("{} (action {})", text_of(hold, "level"), text_of(hold, "actionId"));
  }
  return out;
}

// The API leaves it out when no gateway said anything since its start.
std::string connected(const json::Value& thing) {
  const std::string text = text_of(thing, "connected");
  return text == "true" ? "yes" : text == "false" ? "no" : "";
}

std::vector<Column> thing_columns() {
  return {member_column("NAME", "name"),
          {"CONNECTED", connected},
          member_column("ALARMS", "activeViolations"),
          {"HELD", held},
          member_column("GROUPS", "groups"),
          time_column("LAST SEEN", "lastSeen")};
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/things" + query_of(invocation, {"group"}),
                        .member = "things",
                        .columns = thing_columns(),
                        .when_empty = "No things yet. `fleetward things enrol NAME --out DIR` adds one."});
}

ExitCode run_show(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> thing = api.get(thing_path(invocation.arguments()[0]));
  if (!thing) return invocation.fail(thing.error());
  std::vector<Column> columns = thing_columns();
  columns.insert(columns.begin() + 1, member_column("ID", "thingId"));
  columns.push_back(member_column("TYPE", "thingType"));
  columns.push_back({"CERTIFICATES", [](const json::Value& value) {
                       std::string out;
                       if (!value.contains("certificates")) return out;
                       for (const json::Value& certificate : value["certificates"]) {
                         if (!out.empty()) out += ", ";
                         out += fmt::format("{} ({})", text_of(certificate, "certificateId"),
                                            text_of(certificate, "status"));
                       }
                       return out;
                     }});
  return print_object(invocation, *thing, columns);
}

ExitCode run_quarantine(Invocation& invocation, ApiClient& api) {
  const std::string level = invocation.option("level").value_or("isolate");
  if (level != "isolate" && level != "restrict") {
    return invocation.usage_error("--level must be isolate or restrict (to revoke: fleetward certificates revoke)");
  }
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: it is shown to everybody who asks why");
  const json::Value body = {{"level", level}, {"reason", *reason}};
  const Result<json::Value> action = api.post(thing_path(invocation.arguments()[0]) + "/quarantine", body);
  if (!action) return invocation.fail(action.error());
  return print_object(invocation, *action,
                      {member_column("ACTION", "id"), member_column("THING", "thing"), member_column("LEVEL", "level"),
                       member_column("STATE", "state")});
}

ExitCode run_release(Invocation& invocation, ApiClient& api) {
  const std::string& name = invocation.arguments()[0];
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: say why the device is trusted again");
  const Result<json::Value> thing = api.get(thing_path(name));
  if (!thing) return invocation.fail(thing.error());
  const auto holds = thing->find("holds");
  if (holds == thing->end() || holds->empty()) {
    return invocation.fail({ErrorCode::failed_precondition, fmt::format("{} is not held", name)});
  }
  json::Value released = json::Value::array();
  for (const json::Value& hold : *holds) {
    const std::string action = text_of(hold, "actionId");
    const Result<json::Value> answer =
        api.post("/v1/actions/" + percent_encode(action) + "/release", {{"reason", *reason}});
    if (!answer) return invocation.fail(answer.error().with_context("release action " + action));
    if (!invocation.wants_json()) {
      invocation.out << fmt::format("released {} (action {})\n", printable(name), printable(action));
    }
    released.push_back(*answer);
  }
  if (invocation.wants_json()) invocation.out << json::dump_pretty(released) << "\n";
  return ExitCode::ok;
}

}  // namespace

Command things_list_command() {
  return {.name = "things list",
          .summary = "Lists the fleet's things with their state",
          .detail = "example: fleetward things list --group cameras -o json",
          .options = {{"group", "G", "only members of this group"}, limit_option()},
          .run_with_api = run_list};
}

Command things_show_command() {
  return {.name = "things show",
          .arguments = "DEVICE",
          .summary = "Shows one thing: alarms, holds, certificates",
          .detail = "example: fleetward things show cam-018",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_show};
}

Command things_quarantine_command() {
  return {.name = "things quarantine",
          .arguments = "DEVICE",
          .summary = "Takes a thing off the network until it is released",
          .detail =
              "isolate: it may not connect. restrict: it may connect, only to be mended.\n"
              "example: fleetward things quarantine cam-018 --reason \"lost in the field\"",
          .options = {{"reason", "TEXT", "why"}, {"level", "isolate|restrict", "how strictly (default: isolate)"}},
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_quarantine};
}

Command things_release_command() {
  return {.name = "things release",
          .arguments = "DEVICE",
          .summary = "Ends every hold on a thing",
          .detail =
              "A revoked certificate stays revoked: such a device must be enrolled anew.\n"
              "example: fleetward things release cam-018 --reason \"re-imaged\"",
          .options = {{"reason", "TEXT", "why it is trusted again"}},
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_release};
}

}  // namespace fleetward::program
