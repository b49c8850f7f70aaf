// One function a command, each in a small file of its own area; commands.cpp puts them in order.
#pragma once

#include "services/fleetward/command.hpp"

namespace fleetward::program {

Command version_command();
Command help_command();

}  // namespace fleetward::program
