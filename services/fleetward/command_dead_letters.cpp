// dead-letters list, show, replay.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/listing.hpp"

namespace fleetward::program {
namespace {

constexpr std::chrono::seconds replay_limit{20};  // how long what came of a replay is waited for
constexpr std::chrono::milliseconds look_every{200};
constexpr std::size_t shown_bytes_max = 2'000;

std::vector<Column> letter_columns() {
  return {member_column("ID", "id"),         time_column("RECEIVED", "received"), member_column("SOURCE", "source"),
          member_column("REASON", "reason"), member_column("REPLAY", "replay"),   member_column("WHY", "why")};
}

std::vector<Option> filters() {
  return {{"source", "SOURCE", "only of this source: mqtt/NAME, kafka/NAME, topic/NAME"},
          {"reason", "REASON", "only with this reason"}};
}

ExitCode run_list(Invocation& invocation, ApiClient& api) {
  return print_listing(invocation, api,
                       {.target = "/v1/dead-letters" + query_of(invocation, {"source", "reason", "replay"}),
                        .member = "deadLetters",
                        .columns = letter_columns(),
                        .when_empty = "There are no dead letters."});
}

std::string path_of(const std::string& id) { return "/v1/dead-letters/" + percent_encode(id); }

ExitCode run_show(Invocation& invocation, ApiClient& api) {
  const Result<json::Value> letter = api.get(path_of(invocation.arguments()[0]));
  if (!letter) return invocation.fail(letter.error());
  std::vector<Column> columns = letter_columns();
  const Column more[] = {member_column("TOPIC", "topic"),
                         member_column("KEY", "key"),
                         member_column("PARTITION", "partition"),
                         member_column("OFFSET", "offset"),
                         member_column("CONTENT TYPE", "contentType"),
                         member_column("BYTES", "payloadBytes"),
                         member_column("REPLAYS", "replays"),
                         member_column("REPLAY FAILED", "replayWhy"),
                         member_column("REPLAY BY", "replayBy"),
                         time_column("REPLAY TIME", "replayTime")};
  columns.insert(columns.end(), std::begin(more), std::end(more));
  columns.push_back({"PAYLOAD", [](const json::Value& item) {
                       const Result<Bytes> bytes = from_base64(text_of(item, "payloadBase64"));
                       return bytes ? printable(as_text(*bytes), shown_bytes_max) : "(cannot be shown)";
                     }});
  return print_object(invocation, *letter, columns);
}

// Until the collector has done it; what it was at last where that takes too long.
Result<json::Value> replay(ApiClient& api, const std::string& id, const std::string& reason) {
  Result<json::Value> letter = api.post(path_of(id) + "/replay", {{"reason", reason}});
  const auto until = std::chrono::steady_clock::now() + replay_limit;
  while (letter && text_of(*letter, "replay") == "waiting" && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(look_every);
    letter = api.get(path_of(id));
  }
  return letter;
}

Result<std::vector<std::string>> wanted_ids(Invocation& invocation, ApiClient& api) {
  if (!invocation.has("all")) return invocation.arguments();
  const Result<std::int64_t> limit = invocation.integer_option("limit", 1000, 1, 100'000);
  if (!limit) return limit.error();
  bool truncated = false;
  const auto letters = api.list("/v1/dead-letters" + query_of(invocation, {"source", "reason"}), "deadLetters",
                                static_cast<std::size_t>(*limit), &truncated);
  if (!letters) return letters.error();
  std::vector<std::string> ids;
  for (const json::Value& letter : *letters) {
    if (text_of(letter, "replay") != "taken") ids.push_back(text_of(letter, "id"));
  }
  std::reverse(ids.begin(), ids.end());  // the oldest first, as they came
  return ids;
}

ExitCode run_replay(Invocation& invocation, ApiClient& api) {
  const std::optional<std::string> reason = invocation.option("why");
  if (!reason) return invocation.usage_error("--why is missing: it is kept in the audit log");
  if (invocation.has("all") != invocation.arguments().empty())
    return invocation.usage_error("name letters by their ids, or take --all");
  const auto ids = wanted_ids(invocation, api);
  if (!ids) return invocation.fail(ids.error());
  std::size_t taken = 0;
  for (const std::string& id : *ids) {
    const Result<json::Value> letter = replay(api, id, *reason);
    if (!letter) {
      invocation.err << fmt::format("{}: {}\n", printable(id, 64), printable(letter.error().message, 1024));
      continue;
    }
    const std::string state = text_of(*letter, "replay");
    taken += state == "taken" ? 1 : 0;
    if (state == "waiting")
      invocation.err << fmt::format("{}: no collector has taken it yet; does the role collector run with its source?\n",
                                    printable(id, 64));
    else if (state != "taken")
      invocation.err << fmt::format("{}: {}: {}\n", printable(id, 64), printable(state, 64),
                                    printable(text_of(*letter, "replayWhy"), 1024));
  }
  invocation.out << fmt::format("{} of {} taken\n", taken, ids->size());
  return taken == ids->size() ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

Command dead_letters_list_command() {
  std::vector<Option> options = filters();
  options.push_back({"replay", "STATE", "only so replayed: none, waiting, taken, or why it failed"});
  options.push_back(limit_option());
  return {.name = "dead-letters list",
          .summary = "Lists messages and records that could not be used, newest first, with the reason",
          .options = options,
          .run_with_api = run_list};
}

Command dead_letters_show_command() {
  return {.name = "dead-letters show",
          .arguments = "ID",
          .summary = "Shows one of them, with what came",
          .arguments_min = 1,
          .arguments_max = 1,
          .run_with_api = run_show};
}

Command dead_letters_replay_command() {
  std::vector<Option> options = filters();
  options.push_back({"all", "", "all that these filters leave and that were not taken yet, the oldest first"});
  options.push_back({"why", "TEXT", "why; kept in the audit log"});
  options.push_back(limit_option());
  return {.name = "dead-letters replay",
          .arguments = "[ID...]",
          .summary = "Sends messages of a collector's source through its mapping again; says how many were taken",
          .detail =
              "One that was taken is not sent again, however often it is asked for.\n"
              "example: fleetward dead-letters replay --all --source kafka/plant --why \"mapping mended\"",
          .options = options,
          .arguments_max = 1000,
          .run_with_api = run_replay};
}

}  // namespace fleetward::program
