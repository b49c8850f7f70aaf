// What a detector tells of its partitions: metrics, and why it is not ready.
//
// Lives on the detector's scheduler.
#pragma once

#include "metrics/metrics.hpp"
#include "services/detector/partition.hpp"

namespace fleetward::detector {

// Memory of their device states, roughly; of those that are being read, what they will take at least.
[[nodiscard]] std::size_t state_bytes(const Partitions& partitions);

void show_partitions(const Partitions& partitions, metrics::Registry& metrics);

// Empty when every partition is restored and none waits.
[[nodiscard]] std::string why_not_ready(const Partitions& partitions, std::size_t state_bytes_max);

}  // namespace fleetward::detector
