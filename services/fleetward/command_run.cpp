// run ROLE...|all, and config: the server process, and its settings.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "config/suggest.hpp"
#include "core/fault.hpp"
#include "core/text.hpp"
#include "log/log.hpp"
#include "runtime/signals.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/descriptors.hpp"
#include "services/fleetward/playbook_watch.hpp"
#include "services/fleetward/process.hpp"
#include "services/fleetward/signers_watch.hpp"
#include "services/fleetward/tls_watch.hpp"

namespace fleetward::program {
namespace {

constexpr Millis look_at_files_every{2'000};
constexpr std::size_t descriptors_beside = 2'048;  // that are not devices: files, the other listeners, probes, pages

std::vector<std::string> role_names() {
  std::vector<std::string> names;
  for (const Role& role : all_roles()) names.emplace_back(role.name);
  return names;
}

// "all", and none by name.
bool means_all(const std::vector<std::string>& words) {
  return std::all_of(words.begin(), words.end(), [](const std::string& word) { return word == "all"; });
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

Instant wall_clock() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

// The files of the TLS listeners that run here.
TlsWatch watch_tls(const Settings& settings, const std::vector<std::string>& roles, TlsWatch::Apply apply) {
  const auto runs = [&roles](std::string_view role) {
    return std::find(roles.begin(), roles.end(), role) != roles.end();
  };
  const std::string folder = runs("gateway") || runs("api") ? settings.installation.data_dir + "/pki" : "";
  return {folder, runs("gateway") ? ClientTrust::devices : ClientTrust::none, std::move(apply)};
}

// Until a signal that ends it. SIGHUP means "read again" to a service; from a terminal it says that the terminal is
// gone.
int serve(Process& process, runtime::Signals& signals, PlaybookWatch& playbook, TlsWatch& tls, SignersWatch& signers) {
  const bool on_terminal = isatty(STDERR_FILENO) != 0;
  while (true) {
    process.set_playbook_stale(playbook.is_stale());
    process.set_tls_facts(tls.not_after(), tls.is_stale());
    process.set_signers_stale(signers.is_stale());
    process.show_descriptors();
    const int signal = signals.wait_for(look_at_files_every);
    const bool is_asked = signal == SIGHUP && !on_terminal;
    if (signal >= 0 && !is_asked) return signal;
    if (is_asked) {
      playbook.reload();
      tls.reload(wall_clock());
      signers.reload();
    } else {
      playbook.look();
      tls.look(wall_clock());
      signers.look();
    }
  }
}

ExitCode run_run(Invocation& invocation) {
  auto roles = wanted_roles(invocation.arguments());
  if (!roles) return invocation.usage_error(roles.error().message);
  Settings settings;
  if (const Status loaded = load_settings(invocation, settings); !loaded) {
    return invocation.fail(loaded.error().with_context("configuration"));
  }
  if (invocation.has("check-config")) {
    invocation.out << "the configuration is good\n";
    return ExitCode::ok;
  }
  if (invocation.has("print-config")) {
    invocation.out << describe(settings).values_text();
    return ExitCode::ok;
  }
  if (means_all(invocation.arguments())) roles = roles_for(settings);
  configure_log(settings.log);
  if (const std::vector<std::string> faults = fault::armed(); !faults.empty()) {
    log::warn("fault_points_armed", {{"names", fmt::format("{}", fmt::join(faults, ", "))}});
  }
  const std::size_t descriptors = raise_descriptor_limit();
  const bool has_devices = std::find(roles->begin(), roles->end(), "gateway") != roles->end();
  if (const auto devices = static_cast<std::size_t>(settings.gateway.connections_max);
      has_devices && descriptors < devices + descriptors_beside) {
    log::warn(
        "descriptors_scarce",
        {{"limit", descriptors},
         {"connections_max", devices},
         {"advice", "raise the limit of open files (LimitNOFILE=, ulimit -n), or lower gateway.connections_max"}});
  }
  umask(077);  // log and store hold what nobody else may read, whoever owns the folder
  runtime::Signals signals;
  auto process = std::make_unique<Process>(settings);
  // Before the roles read the files: a change in between is then seen as one.
  PlaybookWatch playbook(settings.responder.playbook,
                         [&process](respond::Playbook changed) { process->set_playbook(std::move(changed)); });
  TlsWatch tls =
      watch_tls(settings, *roles, [&process](const net::TlsMaterial& changed) { return process->set_tls(changed); });
  SignersWatch signers(judges_signatures(*roles) ? settings.installation.data_dir : "",
                       [&process](const SharedSigners& changed) { process->set_signers(changed); });
  const Process::StartOptions options{.accept_empty_store = invocation.has("accept-empty-store"),
                                      .accept_empty_log = invocation.has("accept-empty-log")};
  if (const Status started = process->start(*roles, options); !started) return invocation.fail(started.error());
  const int signal = serve(*process, signals, playbook, tls, signers);
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

ExitCode run_config_schema(Invocation& invocation) {
  invocation.out << json::dump_pretty(settings_schema()) << "\n";
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
              "The playbook, the server's certificate and key, the authorities of devices and the list of who may\n"
              "sign records are read again when their files change, and on SIGHUP (where there is no terminal). What\n"
              "is no good is not taken.\n"
              "example: fleetward run all --config fleetward.yaml --responder.mode=enforce",
          .options = {{"config", "FILE", "YAML file of settings"},
                      {"check-config", "", "only check the settings, and tell every problem"},
                      {"print-config", "", "only print the settings that are in force, as YAML; secrets are masked"},
                      {"accept-empty-store", "", "begin anew where the store was lost beside a log that was not"},
                      {"accept-empty-log", "", "go on where the log was lost beside a store that was not"}},
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

Command config_schema_command() {
  return {.name = "config schema",
          .summary = "Prints the JSON Schema of the settings' file",
          .detail = "example: fleetward config schema > fleetward.schema.json",
          .run = run_config_schema};
}

}  // namespace fleetward::program
