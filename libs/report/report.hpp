// A device-side report (reference section 1) as flat values: what the detector judges and the gateway answers by.
//
// A Report belongs to its parser and is filled anew by each parse; its lists keep their memory. They are bounded by the
// payload (payload_bytes_max).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fleet/metric_value.hpp"
#include "report/ip_address.hpp"

namespace fleetward::report {

constexpr std::size_t payload_bytes_max = 128 * 1024;

// The custom metrics that are defined: what a report may speak of. Immutable once made; share it freely.
class CustomMetricTable {
 public:
  CustomMetricTable() = default;
  explicit CustomMetricTable(std::vector<fleet::CustomMetric> metrics);  // the first of two equal names counts
  [[nodiscard]] std::size_t size() const { return metrics_.size(); }
  [[nodiscard]] const fleet::CustomMetric& operator[](std::size_t index) const { return metrics_[index]; }
  [[nodiscard]] std::optional<std::size_t> find(std::string_view name) const;

 private:
  std::vector<fleet::CustomMetric> metrics_;  // by name
};

struct Connection {
  Endpoint remote;
  std::optional<std::uint16_t> local_port;
  friend bool operator==(const Connection&, const Connection&) = default;
};

// A list that was in the report; without `present` the device said nothing of it, which is not an empty list.
template <class T>
struct ReportList {
  bool present = false;
  std::vector<T> items;
};

// One custom metric's value: a slice of the report's lists by its type.
struct CustomMetricValue {
  std::size_t metric = 0;  // index into the CustomMetricTable
  double number = 0;       // type number
  std::size_t first = 0;   // lists: first element in numbers, strings or addresses
  std::size_t count = 0;
};

// A custom metric that was not taken, and why. The rest of the report is good.
struct CustomMetricProblem {
  std::string name;  // as the device wrote it, hostile
  std::string reason;
  friend bool operator==(const CustomMetricProblem&, const CustomMetricProblem&) = default;
};

struct Report {
  std::int64_t report_id = 0;
  std::string version;

  // Deltas since the device's report before; totals as the agent counted them, independent of the lists' lengths.
  std::optional<std::int64_t> bytes_in, bytes_out, packets_in, packets_out;
  std::optional<std::int64_t> tcp_ports_total, udp_ports_total, connections_total;
  ReportList<std::uint16_t> tcp_ports, udp_ports;
  ReportList<Connection> connections;

  std::vector<CustomMetricValue> customs;  // in the report's order, each metric at most once
  std::vector<double> numbers;
  std::vector<IpAddress> addresses;
  std::vector<std::string_view> strings;  // of the parser's copy of the payload: good until its next parse

  std::vector<CustomMetricProblem> problems;  // at most problems_max; the rest is only counted
  std::size_t problem_count = 0;

  void clear();  // keeps the lists' memory
};
constexpr std::size_t problems_max = 32;

}  // namespace fleetward::report
