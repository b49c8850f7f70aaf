// One simulated process: its thread, its way to the bus and the store, and the production modules that run in it.
//
// crash() drops the modules where they stand, without a stop. The shell stays until the world ends: what the bus or
// the network still holds of it points to its loop, which takes nothing any more.
#pragma once

#include "crypto/random.hpp"
#include "metrics/metrics.hpp"
#include "services/detector/detector.hpp"
#include "simulation/process_bus.hpp"

namespace fleetward::simulation {

class Process {
 public:
  Process(Universe& universe, std::string name, std::uint64_t incarnation)
      : loop(universe, std::move(name)), random(incarnation) {}

  void crash();

  Loop loop;
  crypto::SeededRandom random;
  metrics::Registry metrics;
  std::unique_ptr<ProcessBus> bus;
  std::unique_ptr<detector::Detector> detector;
};

}  // namespace fleetward::simulation
