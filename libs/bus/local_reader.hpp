// The reader of a local bus: given partitions, no group. See Reader.
#pragma once

#include "bus/local_core.hpp"

namespace fleetward::bus {

// Reads from `start` of each partition on; caught up at `end` of each, which are the ends as it is made.
std::unique_ptr<Reader> make_local_reader(LocalCorePtr core, async::Scheduler& scheduler, std::string topic,
                                          Offsets start, Offsets end);

}  // namespace fleetward::bus
