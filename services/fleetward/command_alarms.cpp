// alarms list, alarms tail, violations.
#include <fmt/format.h>
#include <unistd.h>

#include <set>

#include "core/text.hpp"
#include "runtime/signals.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

constexpr std::size_t tail_items_max = 1000;
constexpr Millis tail_interval{1'000};

std::string behavior_name(const json::Value& violation) {
  const auto behavior = violation.find("behavior");
  if (behavior == violation.end()) return {};
  return behavior->is_object() ? text_of(*behavior, "name") : text_of(violation, "behavior");
}

std::vector<Column> alarm_columns() {
  return {time_column("SINCE", "violationStartTime"),      member_column("THING", "thingName"),
          member_column("PROFILE", "securityProfileName"), {"BEHAVIOR", behavior_name},
          member_column("EXPECTED", "expected"),           member_column("SEEN", "seen")};
}

std::vector<Column> event_columns() {
  std::vector<Column> columns = alarm_columns();
  columns[0] = time_column("TIME", "violationEventTime");
  columns.insert(columns.begin() + 1, member_column("EVENT", "violationEventType"));
  return columns;
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/violations" + query_of(invocation, {"thing", "profile"}),
                        .member = "violations",
                        .columns = alarm_columns(),
                        .when_empty = "No alarms: every device is as it should be."});
}

ExitCode run_violations(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/violation-events" + query_of(invocation, {"thing", "profile"}),
                        .member = "events",
                        .columns = event_columns(),
                        .when_empty = "No violations were recorded."});
}

void print_event(Invocation& invocation, const json::Value& event) {
  if (invocation.wants_json()) {
    invocation.out << json::dump(event) << std::endl;
    return;
  }
  invocation.out << fmt::format("{}  {}  {}  {}/{}  expected: {}  seen: {}\n", time_of(event, "violationEventTime"),
                                printable(text_of(event, "violationEventType")), printable(text_of(event, "thingName")),
                                printable(text_of(event, "securityProfileName")), printable(behavior_name(event)),
                                printable(text_of(event, "expected")), printable(text_of(event, "seen")))
                 << std::flush;
}

// Newest events are asked for again and again; those that were shown are known by violation and type.
ExitCode run_tail(Invocation& invocation, ApiClient& api) {
  runtime::Signals signals;
  std::set<std::string> shown;
  const std::string target = "/v1/violation-events" + query_of(invocation, {"thing", "profile"});
  while (true) {
    bool truncated = false;
    const auto events = api.list(target, "events", tail_items_max, &truncated);
    if (!events) return invocation.fail(events.error());
    std::set<std::string> present;
    for (auto event = events->rbegin(); event != events->rend(); ++event) {
      const std::string id = text_of(*event, "violationId") + "/" + text_of(*event, "violationEventType");
      present.insert(id);
      if (!shown.contains(id)) print_event(invocation, *event);
    }
    if (!invocation.out) return ExitCode::failed;  // nobody reads it any more, or the disk is full
    shown = std::move(present);
    if (signals.wait_for(tail_interval) >= 0) return ExitCode::ok;
  }
}

const std::vector<Option>& filters() {
  static const std::vector<Option> options{{"thing", "DEVICE", "only this thing's"},
                                           {"profile", "NAME", "only of this security profile"}};
  return options;
}

std::vector<Option> filters_and_limit() {
  std::vector<Option> options = filters();
  options.push_back(limit_option());
  return options;
}

}  // namespace

Command alarms_list_command() {
  return {.name = "alarms list",
          .summary = "Lists what is in alarm now, with expected and seen",
          .detail = "example: fleetward alarms list --thing cam-018",
          .options = filters_and_limit(),
          .run_with_api = run_list};
}

Command alarms_tail_command() {
  return {.name = "alarms tail",
          .summary = "Prints alarms as they come and go, until Ctrl-C",
          .options = filters(),
          .run_with_api = run_tail};
}

Command violations_command() {
  return {.name = "violations",
          .summary = "Lists recorded violation events: raised, cleared, invalidated",
          .detail = "example: fleetward violations --profile cameras -o json",
          .options = filters_and_limit(),
          .run_with_api = run_violations};
}

}  // namespace fleetward::program
