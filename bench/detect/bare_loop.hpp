// The least that one can do with a report: parse it, find the device's state by its name, compare and smooth 20
// numbers. What our engine is measured beside.
//
// Single-threaded. Holds 384 bytes a device.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bench/detect/reports.hpp"
#include "report/parser.hpp"

namespace fleetward::bench {

class BareLoop {
 public:
  explicit BareLoop(std::size_t devices);

  // Ends the process when it cannot be parsed: these reports are our own.
  const report::Report& parse(std::string_view report);
  void apply(std::string_view device, std::string_view report);
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  struct State {
    std::array<float, 96> words{};
  };

  report::ReportParser parser_;
  report::CustomMetricTable customs_{custom_metrics()};
  std::vector<std::string> names_;
  std::vector<State> states_;
  boost::unordered_flat_map<std::string_view, std::uint32_t> index_;
};

}  // namespace fleetward::bench
