#include "simulation/process.hpp"

namespace fleetward::simulation {

void Process::crash() {
  loop.die();
  if (bus) bus->cut();
  while (!modules_.empty()) modules_.pop_back();
  loop.drop_everything();
}

// On its own loop, when that runs again.
void Process::stop() {
  loop.post([this] {
    for (auto m = modules_.rbegin(); m != modules_.rend(); ++m) m->stop();
  });
}

}  // namespace fleetward::simulation
