// version, help.
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"

namespace fleetward::program {
namespace {

ExitCode run_version(Invocation& invocation) {
  invocation.out << "fleetward " FLEETWARD_VERSION "\n";
  return ExitCode::ok;
}

ExitCode run_help(Invocation& invocation) {
  const std::vector<std::string>& words = invocation.arguments();
  if (words.empty()) {
    invocation.out << help_overview(all_commands());
    return ExitCode::ok;
  }
  std::vector<std::string> with_help = words;
  with_help.emplace_back("--help");
  return run_program(all_commands(), with_help, invocation.all_environment(), connect_api, invocation.out,
                     invocation.err);
}

}  // namespace

Command version_command() { return {.name = "version", .summary = "Prints the version", .run = run_version}; }

Command help_command() {
  return {.name = "help",
          .arguments = "[COMMAND...]",
          .summary = "Lists the commands, or tells about one",
          .detail = "example: fleetward help things enrol",
          .arguments_max = 3,
          .run = run_help};
}

}  // namespace fleetward::program
