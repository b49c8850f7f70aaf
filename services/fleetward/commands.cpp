// The table of commands: the order of help.
#include "services/fleetward/commands.hpp"

namespace fleetward::program {

const std::vector<Command>& all_commands() {
  static const std::vector<Command> commands{
      version_command(),
      help_command(),
  };
  return commands;
}

}  // namespace fleetward::program
