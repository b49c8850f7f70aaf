#include "simulation/process.hpp"

namespace fleetward::simulation {

void Process::crash() {
  loop.die();
  if (bus) bus->cut();
  while (!modules_.empty()) modules_.pop_back();
  loop.drop_everything();
}

}  // namespace fleetward::simulation
