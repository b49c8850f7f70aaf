#include "simulation/process.hpp"

namespace fleetward::simulation {

void Process::crash() {
  loop.die();
  if (bus) bus->cut();
  detector.reset();
  loop.drop_everything();
}

}  // namespace fleetward::simulation
