// replay: the violations of a copied bus file, over again or as they were recorded.
#include "services/detector/replay.hpp"

#include "services/fleetward/commands.hpp"

namespace fleetward::program {
namespace {

ExitCode run_replay(Invocation& invocation) {
  const std::string& path = invocation.arguments()[0];
  const auto violations = invocation.has("recorded") ? detector::recorded_violations(path) : detector::replay(path);
  if (!violations) return invocation.fail(violations.error());
  for (const detector::TextById& violation : *violations) invocation.out << violation.text << "\n";
  return ExitCode::ok;
}

}  // namespace

Command replay_command() {
  return {.name = "replay",
          .arguments = "BUS-FILE",
          .summary = "Runs detection again over a copy of the bus file; prints its violations as JSON lines",
          .detail =
              "Reads nothing but the file, and no clock: the lines equal, byte for byte, what the live detector "
              "recorded\n(--recorded prints that). In order of event id.\n"
              "example: cp DATA_DIR/bus/bus.db* /tmp/ && fleetward replay /tmp/bus.db",
          .options = {{"recorded", "", "what stands in the file's violations, without detecting anything"}},
          .arguments_min = 1,
          .arguments_max = 1,
          .run = run_replay};
}

}  // namespace fleetward::program
