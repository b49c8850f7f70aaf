// actions list, show, approve, refuse, release.
#include <fmt/format.h>

#include "core/text.hpp"
#include "core/time.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"
#include "services/fleetward/table.hpp"

namespace fleetward::program {
namespace {

std::string action_path(std::string_view id) { return "/v1/actions/" + percent_encode(id); }

std::vector<Column> action_columns() {
  return {member_column("ID", "id"),       member_column("THING", "thing"), member_column("LEVEL", "level"),
          member_column("STATE", "state"), member_column("MODE", "mode"),   member_column("REASON", "reason")};
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/actions" + query_of(invocation, {"thing", "state"}),
                        .member = "actions",
                        .columns = action_columns(),
                        .when_empty = "No actions."});
}

// received → detected → decided → enforced → verified, each with the time since the one before.
std::string stopwatch_text(const json::Value& action) {
  const auto watch = action.find("stopwatch");
  if (watch == action.end() || !watch->is_object()) return {};
  std::string out;
  std::int64_t before = 0;
  for (const std::string_view mark : {"received", "detected", "decided", "enforced", "verified"}) {
    const auto found = watch->find(mark);
    if (found == watch->end() || !found->is_number_integer() || found->get<std::int64_t>() == 0) continue;
    const auto at = found->get<std::int64_t>();
    if (before == 0) {
      out = fmt::format("{} {}", mark, to_rfc3339(instant_from_ms(at)));
    } else {
      out += fmt::format(" -> {} +{}", mark, to_human(Millis(at - before)));
    }
    before = at;
  }
  return out;
}

// A list inside the action as a table of its own; nothing when it is empty.
void print_table(const Invocation& invocation, const json::Value& action, std::string_view member,
                 const std::vector<Column>& columns) {
  const auto list = action.find(member);
  if (list == action.end() || !list->is_array() || list->empty()) return;
  std::vector<std::string> headings;
  for (const Column& column : columns) headings.emplace_back(column.heading);
  Table table(headings);
  for (const json::Value& item : *list) {
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(column.text(item));
    table.add(std::move(cells));
  }
  invocation.out << "\n" << table.to_text("");
}

ExitCode run_show(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> action = api.get(action_path(invocation.arguments()[0]));
  if (!action) return invocation.fail(action.error());
  std::vector<Column> columns = action_columns();
  columns.push_back(member_column("WAITS FOR", "waitReason"));
  columns.push_back(member_column("REQUESTED BY", "requestedBy"));
  columns.push_back(member_column("APPROVED BY", "approvedBy"));
  columns.push_back(time_column("LEASE END", "leaseEnd"));
  columns.push_back({"STOPWATCH", stopwatch_text});
  const ExitCode printed = print_object(invocation, *action, columns);
  if (invocation.wants_json()) return printed;
  print_table(invocation, *action, "steps",
              {time_column("TIME", "time"), member_column("STEP", "step"), member_column("BY", "actor"),
               member_column("WHY", "why")});
  print_table(invocation, *action, "evidence",
              {time_column("TIME", "time"), member_column("EVIDENCE", "kind"), member_column("WHERE", "where"),
               member_column("GOOD", "good"), member_column("SEEN", "text")});
  return printed;
}

ExitCode decide(Invocation& invocation, ApiClient& api, std::string_view verb) {
  const std::optional<std::string> reason = invocation.option("reason");
  if (!reason) return invocation.usage_error("--reason is missing: it is kept with the decision");
  const Result<json::Value> action =
      api.post(fmt::format("{}/{}", action_path(invocation.arguments()[0]), verb), {{"reason", *reason}});
  if (!action) return invocation.fail(action.error());
  return print_object(invocation, *action, action_columns());
}

ExitCode run_approve(Invocation& invocation, ApiClient& api) { return decide(invocation, api, "approve"); }
ExitCode run_refuse(Invocation& invocation, ApiClient& api) { return decide(invocation, api, "refuse"); }
ExitCode run_release(Invocation& invocation, ApiClient& api) { return decide(invocation, api, "release"); }

Command decision(std::string_view name, std::string_view summary, std::string_view detail,
                 ExitCode (*run)(Invocation&, ApiClient&)) {
  return {.name = name,
          .arguments = "ACTION",
          .summary = summary,
          .detail = detail,
          .options = {{"reason", "TEXT", "why; kept with the decision"}},
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run};
}

}  // namespace

Command actions_list_command() {
  return {.name = "actions list",
          .summary = "Lists what was done against devices, or waits for a person",
          .detail = "example: fleetward actions list --state awaiting_approval",
          .options = {{"thing", "DEVICE", "only this thing's"},
                      {"state", "STATE", "only in this state: awaiting_approval, verifying, in_effect, failed, ..."},
                      limit_option()},
          .run_with_api = run_list};
}

Command actions_show_command() {
  return {.name = "actions show",
          .arguments = "ACTION",
          .summary = "Shows one action: reason, steps, proof, stopwatch",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_show};
}

Command actions_approve_command() {
  return decision("actions approve", "Lets an action go ahead that waits for a person",
                  "example: fleetward actions approve 4f1c... --reason \"Mirai confirmed\"", run_approve);
}

Command actions_refuse_command() {
  return decision("actions refuse", "Ends an action that waits for a person, without doing it",
                  "example: fleetward actions refuse 4f1c... --reason \"planned maintenance\"", run_refuse);
}

Command actions_release_command() {
  return decision("actions release", "Ends an action that is in effect: its hold on the device",
                  "example: fleetward actions release 4f1c... --reason \"re-imaged\"", run_release);
}

}  // namespace fleetward::program
