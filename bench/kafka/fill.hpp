// Puts on the topics what a detector is measured with: the static profile, and reports as a gateway writes them.
#pragma once

#include "bench/kafka/writer.hpp"

namespace fleetward::bench {

// Makes the topics of an installation, with so many partitions where there is one order a device; then the rules.
Status prepare(bus::Bus& bus, std::int32_t partitions);

struct Reports {
  std::size_t devices = 0;
  std::size_t count = 0;
  bool one_each = false;  // one after the other, else of any device
  std::uint32_t seed = 0;
};
// A few devices break the rules, in one way after the other.
Result<Stretches> put_reports(bus::Bus& bus, const Reports& reports);

// A record of a device's report, without its value.
bus::OutRecord report_record(const std::string& device, std::int64_t received_ms, std::uint16_t packet_id);

}  // namespace fleetward::bench
