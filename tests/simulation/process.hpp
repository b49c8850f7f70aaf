// One simulated process: its thread, its way to the bus and the store, and the production modules that run in it.
//
// crash() drops the modules where they stand, without a stop. The shell stays until the world ends: what the bus or
// the network still holds of it points to its loop, which takes nothing any more. stop() is told twice, a while apart:
// the modules are to end, and what has ended by then leaves its groups.
#pragma once

#include "crypto/random.hpp"
#include "metrics/metrics.hpp"
#include "simulation/process_bus.hpp"
#include "simulation/process_store.hpp"

namespace fleetward::simulation {

class Process {
 public:
  Process(Universe& universe, std::string name, std::uint64_t incarnation)
      : loop(universe, std::move(name)), random(incarnation) {}

  // The module goes with the process, the last one first. It has been started.
  template <class Module>
  Module& run(std::unique_ptr<Module> module) {
    const std::shared_ptr<Module> held = std::move(module);
    modules_.push_back({held, [m = held.get()] { m->stop(Millis(0)); }});
    return *held;
  }
  void crash();
  void stop();

  Loop loop;
  crypto::SeededRandom random;
  metrics::Registry metrics;
  std::unique_ptr<ProcessBus> bus;
  std::unique_ptr<ProcessStore> store;
  bool is_leaving = false;  // it is being told to stop

 private:
  struct Running {
    std::shared_ptr<void> module;
    std::function<void()> stop;
  };
  std::vector<Running> modules_;
};

}  // namespace fleetward::simulation
