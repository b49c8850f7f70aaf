// A Storage in memory: for tests and the simulation. Thread-safe by one lock.
#pragma once

#include <memory>

#include "bus/storage.hpp"

namespace fleetward::bus {

std::unique_ptr<Storage> make_memory_storage();

}  // namespace fleetward::bus
