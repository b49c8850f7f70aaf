// The two local buses, ready to use: in memory, and embedded (one SQLite file in the data folder).
#pragma once

#include <memory>
#include <string>

#include "bus/local_bus.hpp"

namespace fleetward::bus {

// Everything on one scheduler: for tests and the simulation. `scheduler` outlives the bus.
std::unique_ptr<Bus> make_memory_bus(async::Scheduler& scheduler, metrics::Registry& metrics,
                                     LocalBusOptions options = {});

// The embedded default: `path` is its file (with a -wal and a .lock beside it); two threads of its own. One process at
// a time. See Storage's makers for errors.
Result<std::unique_ptr<Bus>> open_embedded_bus(const std::string& path, metrics::Registry& metrics,
                                               LocalBusOptions options = {});

// A copied bus file, for reading only: no lock, nothing is changed, append() fails.
Result<std::unique_ptr<Bus>> open_embedded_bus_read_only(const std::string& path, metrics::Registry& metrics);

}  // namespace fleetward::bus
