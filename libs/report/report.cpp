#include "report/report.hpp"

#include <algorithm>

namespace fleetward::report {

CustomMetricTable::CustomMetricTable(std::vector<fleet::CustomMetric> metrics) : metrics_(std::move(metrics)) {
  const auto by_name = [](const fleet::CustomMetric& a, const fleet::CustomMetric& b) { return a.name < b.name; };
  std::stable_sort(metrics_.begin(), metrics_.end(), by_name);
  const auto same_name = [](const fleet::CustomMetric& a, const fleet::CustomMetric& b) { return a.name == b.name; };
  metrics_.erase(std::unique(metrics_.begin(), metrics_.end(), same_name), metrics_.end());
}

std::optional<std::size_t> CustomMetricTable::find(std::string_view name) const {
  const auto at = std::lower_bound(metrics_.begin(), metrics_.end(), name,
                                   [](const fleet::CustomMetric& m, std::string_view n) { return m.name < n; });
  if (at == metrics_.end() || at->name != name) return std::nullopt;
  return static_cast<std::size_t>(at - metrics_.begin());
}

void Report::clear() {
  report_id = 0;
  version.clear();
  bytes_in = bytes_out = packets_in = packets_out = std::nullopt;
  tcp_ports_total = udp_ports_total = connections_total = std::nullopt;
  tcp_ports.present = udp_ports.present = connections.present = false;
  tcp_ports.items.clear();
  udp_ports.items.clear();
  connections.items.clear();
  customs.clear();
  numbers.clear();
  addresses.clear();
  strings.clear();
  problems.clear();
  problem_count = 0;
}

}  // namespace fleetward::report
