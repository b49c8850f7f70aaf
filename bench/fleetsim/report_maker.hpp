// What a simulated device reports: Device Defender JSON, the same for the same seed, thing and number, on any machine.
//
// Pure. Devices differ as real agents do (reference section 1.7): long names, short names, or both mixed. An infected
// one behaves like Mirai, in its numbers alone: it scans telnet on addresses that it never spoke to, listens on 48101
// and sends a burst.
#pragma once

#include <cstdint>
#include <string>

#include "json/json.hpp"

namespace fleetsim {

enum class Names { long_names, short_names, mixed_names };

struct ReportOptions {
  std::uint64_t seed = 1;
  std::string custom_metric = "cpu-usage";  // number; empty: none
};

class ReportMaker {
 public:
  // `index` is the device's place in the fleet: it decides the kind of agent.
  ReportMaker(const ReportOptions& options, std::string thing, std::size_t index);

  // The report with this number (the report id, from 1 on).
  [[nodiscard]] std::string make(std::int64_t report_id, bool infected) const;
  [[nodiscard]] Names names() const { return names_; }

 private:
  ReportOptions options_;
  std::string thing_;
  Names names_;
};

}  // namespace fleetsim
