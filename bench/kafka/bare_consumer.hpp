// The ceiling: librdkafka's consumer, as cheap as it can be had, that feeds the bare loop.
#pragma once

#include <string>

#include "bench/kafka/writer.hpp"

namespace fleetward::bench {

struct Consumed {
  std::int64_t reports = 0;
  double cpu_seconds = 0;  // user and system, of all threads, from the first request on
  double seconds = 0;
};

// Reads these stretches of topic devices. Nothing is committed and no group is joined.
Result<Consumed> consume_bare(const std::string& bootstrap, std::size_t devices, const Stretches& stretches);

}  // namespace fleetward::bench
