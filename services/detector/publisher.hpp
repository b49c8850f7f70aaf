// Violations on their way to the bus: in order, again until they are durable, so that a checkpoint can wait for them.
//
// Lives on its scheduler. Grows with the violations of the records that were applied since the last checkpoint; the
// detector reads no further while more than backlog_max wait.
#pragma once

#include <vector>

#include "bus/bus.hpp"
#include "fleet/violation.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::detector {

class ViolationPublisher {
 public:
  static constexpr std::size_t backlog_max = 20'000;

  ViolationPublisher(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics);

  void add(const std::vector<fleet::ViolationEvent>& events);
  [[nodiscard]] bool is_idle() const;  // everything that was added is durable
  [[nodiscard]] bool is_full() const;
  // True when it was idle before `limit` was over.
  async::Task<bool> wait_idle(Millis limit);

 private:
  struct State;
  static void send(const std::shared_ptr<State>& state);
  std::shared_ptr<State> state_;  // outlives us in callbacks of the bus
};

}  // namespace fleetward::detector
