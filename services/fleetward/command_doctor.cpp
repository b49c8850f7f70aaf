// doctor: what is wrong with this installation, and what to do.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/doctor.hpp"
#include "services/fleetward/table.hpp"

namespace fleetward::program {
namespace {

Findings examine_all(const Settings& settings, const std::string& config_file) {
  const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  // A role that is a process of its own holds no lock: whether it runs it says itself.
  const bool is_one_process = settings.bus.is_embedded();
  const std::optional<std::int64_t> holder = server_on(settings.installation.data_dir);
  Findings findings;
  findings.begin("server");
  if (!is_one_process) examine_role(settings, findings);
  else findings.ok("process", holder ? fmt::format("runs as process {}", *holder) : "does not run on this data folder");
  examine_disk(settings, findings);
  examine_secrets(settings, config_file, findings);
  examine_certificates(settings, now, findings);
  examine_signing(settings, findings);
  examine_backends(settings, holder.has_value(), now, findings);
  examine_playbook(settings, findings);
  if (is_one_process) examine_ports(settings, holder.has_value(), findings);
  examine_clock(settings, findings);
  examine_pagers(settings, findings);
  examine_collector(settings, findings);
  return findings;
}

json::Value to_json(const Finding& f) {
  json::Value out = {{"area", f.area}, {"check", f.check}, {"result", to_string(f.health)}, {"found", f.found}};
  if (!f.advice.empty()) out["advice"] = f.advice;
  return out;
}

void print_table(Invocation& invocation, const Findings& findings) {
  Table table({"RESULT", "AREA", "CHECK", "FOUND"});
  for (const Finding& f : findings.all) table.add({std::string(to_string(f.health)), f.area, f.check, f.found});
  invocation.out << table.to_text("");
  bool is_first = true;
  for (const Finding& f : findings.all) {
    if (f.advice.empty()) continue;
    invocation.out << (is_first ? "\nWhat to do:\n" : "");
    is_first = false;
    invocation.out << fmt::format("  {} {}: {}\n    {}\n", to_string(f.health), printable(f.check, 512),
                                  printable(f.found, 2048), printable(f.advice, 2048));
  }
}

ExitCode run_doctor(Invocation& invocation) {
  Settings settings;
  Findings findings;
  const Status loaded = load_settings(invocation, settings);
  if (const auto data_dir = invocation.option("data-dir")) settings.installation.data_dir = *data_dir;
  if (loaded) {
    findings = examine_all(settings, invocation.option("config").value_or(""));
  } else {
    // With settings that are wrong all else would be about another installation.
    findings.begin("settings");
    for (const std::string_view line : split(loaded.error().message, '\n')) {
      findings.fail("configuration", std::string(line),
                    "mend it, then ask again; `fleetward config` lists all settings");
    }
  }
  std::size_t failed = 0;
  for (const Finding& f : findings.all) failed += f.health == Health::fail ? 1U : 0U;
  if (invocation.wants_json()) {
    json::Value list = json::Value::array();
    for (const Finding& f : findings.all) list.push_back(to_json(f));
    invocation.out << json::dump_pretty({{"healthy", failed == 0}, {"findings", list}}) << "\n";
  } else {
    print_table(invocation, findings);
  }
  return failed == 0 ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

Command doctor_command() {
  return {.name = "doctor",
          .summary = "Looks at an installation, running or stopped, and says what to do where something is wrong",
          .detail =
              "Settings, disk, rights of secrets, certificates, signing keys, store and log, playbook, ports, clock, "
              "pagers.\n"
              "Where settings name Kafka and PostgreSQL it looks at those, with the credentials of the settings.\n"
              "Changes nothing. Exit code 0: nothing failed (there may be warnings); 1: something did.\n"
              "example: fleetward doctor --config fleetward.yaml",
          .options = {{"config", "FILE", "YAML file of settings, the same as for run"},
                      {"data-dir", "DIR", "short for --fleetward.data_dir"},
                      {"output", "table|json", "how to print; -o is short for it (default: table)"}},
          .takes_settings = true,
          .run = run_doctor};
}

}  // namespace fleetward::program
