// File descriptors of this process: how many it may have, and how many it has.
//
// Thread-safe.
#pragma once

#include <cstddef>

#include "metrics/metrics.hpp"

namespace fleetward::program {

// As many as this process may give itself: services are started with few, and a device is one each.
std::size_t raise_descriptor_limit();

// Of this moment, for alarms before they run out.
void show_descriptors(metrics::Registry& metrics);

}  // namespace fleetward::program
