// The bus of a world: the production LocalBus on two virtual threads, over what survives. A crash of it loses what was
// queued and not yet written, and everybody's membership.
#pragma once

#include "bus/local_bus.hpp"
#include "simulation/durable_log.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

class Broker {
 public:
  // Once in `hiccup_one_in` pieces of work its disk takes up to `hiccup_max`.
  Broker(Universe& universe, DurableLog& log, std::int64_t hiccup_one_in, Millis hiccup_max);
  void crash();
  bus::Bus& bus() { return *bus_; }

 private:
  Loop writer_;
  Loop reader_;
  metrics::Registry metrics_;
  std::unique_ptr<bus::Bus> bus_;
};

std::vector<bus::TopicSpec> all_topics(std::int32_t partitions);

}  // namespace fleetward::simulation
