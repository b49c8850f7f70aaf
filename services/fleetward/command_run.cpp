// run ROLE...|all, and config: the server process, and its settings.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "config/suggest.hpp"
#include "core/text.hpp"
#include "log/log.hpp"
#include "runtime/signals.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/process.hpp"

namespace fleetward::program {
namespace {

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  for (const Role& role : all_roles()) names.emplace_back(role.name);
  return names;
}

Result<std::vector<std::string>> wanted_roles(const std::vector<std::string>& words) {
  const std::vector<std::string> known = role_names();
  for (const std::string& word : words) {
    if (word == "all" || std::find(known.begin(), known.end(), word) != known.end()) continue;
    return {ErrorCode::invalid_argument, fmt::format("there is no role '{}'{}; there are all, {}", printable(word, 64),
                                                     config::suggestion(word, known), fmt::join(known, ", "))};
  }
  return std::find(words.begin(), words.end(), "all") != words.end() ? known : words;
}

void configure_log(const LogSettings& settings) {
  // The names were checked when they were loaded.
  const auto level = log::parse_level(settings.level).value_or(log::Level::info);
  log::configure(level, settings.format == "json" ? log::Format::json : log::Format::text);
}

ExitCode run_run(Invocation& invocation) {
  const auto roles = wanted_roles(invocation.arguments());
  if (!roles) return invocation.usage_error(roles.error().message);
  Settings settings;
  if (const Status loaded = load_settings(invocation, settings); !loaded) {
    return invocation.fail(loaded.error().with_context("configuration"));
  }
  if (invocation.has("check-config")) {
    invocation.out << "the configuration is good\n";
    return ExitCode::ok;
  }
  configure_log(settings.log);
  runtime::Signals signals;
  auto process = std::make_unique<Process>(settings);
  if (const Status started = process->start(*roles); !started) return invocation.fail(started.error());
  const int signal = signals.wait();
  log::info("signal", {{"number", signal}});
  signals.let_next_signal_kill();
  if (!process->stop()) {
    // Threads of what did not end still use their parts: nothing may be destroyed under them.
    invocation.fail({ErrorCode::deadline_exceeded, "some parts did not stop in time; see the log"});
    invocation.err.flush();
    std::_Exit(static_cast<int>(ExitCode::failed));
  }
  return ExitCode::ok;
}

ExitCode run_config(Invocation& invocation) {
  Settings settings;
  invocation.out << describe(settings).reference_text();
  return ExitCode::ok;
}

}  // namespace

Command run_command() {
  return {.name = "run",
          .arguments = "ROLE...|all",
          .summary = "Runs roles of the server in this process, until SIGINT or SIGTERM",
          .detail =
              "Settings come from --section.key=value, FLEETWARD_SECTION_KEY and the file, in this order of force;\n"
              "`fleetward config` lists them. The data folder is made by `fleetward init`.\n"
              "example: fleetward run all --config fleetward.yaml --responder.mode=enforce",
          .options = {{"config", "FILE", "YAML file of settings"},
                      {"check-config", "", "only check the settings, and tell every problem"}},
          .arguments_min = 1,
          .arguments_max = 16,
          .takes_settings = true,
          .run = run_run};
}

Command config_command() {
  return {.name = "config",
          .summary = "Lists every setting with its meaning, type, bounds, default and variable",
          .run = run_config};
}

}  // namespace fleetward::program
