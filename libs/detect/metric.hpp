// The metrics of Device Defender: what each one is, how it is judged, which operators and values fit it (reference
// sections 2 and 3).
//
// Constant data and pure functions; usable from any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "fleet/metric_value.hpp"

namespace fleetward::detect {

enum class MetricSide : std::uint8_t { cloud, device, custom };

enum class MetricKind : std::uint8_t {
  summed,       // gathers in panes of the partition's clock; durationSeconds slides over them
  per_message,  // each message is judged
  state,        // a number that holds when it is told; judged at each report
  ports,        // a set, judged at each report
  addresses,
  minutes_away,  // disconnect-duration
  numbers,       // custom lists
  strings,
};

// In the order of the table metrics().
enum class Metric : std::uint8_t {
  message_byte_size,
  num_messages_sent,
  num_messages_received,
  num_authorization_failures,
  num_connection_attempts,
  num_disconnects,
  source_ip_address,
  disconnect_duration,
  all_bytes_out,
  all_bytes_in,
  all_packets_out,
  all_packets_in,
  num_listening_tcp_ports,
  num_listening_udp_ports,
  num_established_tcp_connections,
  destination_ip_addresses,
  listening_tcp_ports,
  listening_udp_ports,
  custom,  // any custom metric
};

struct MetricInfo {
  Metric metric;
  std::string_view name;   // aws:…
  std::string_view words;  // for people: "bytes out"
  std::string_view unit;   // of a value, for people; may be empty
  MetricSide side;
  MetricKind kind;
};

std::span<const MetricInfo> metrics();  // without custom
const MetricInfo* find_metric(std::string_view name);
inline const MetricInfo& info(Metric metric) { return metrics()[static_cast<std::size_t>(metric)]; }

// Whether the metric is about messages on topics, so that a dimension can narrow it.
bool has_dimension(Metric metric);

MetricKind kind_of(fleet::CustomMetricType type);

// Whether the operator fits metrics of the kind.
bool is_allowed(MetricKind kind, fleet::ComparisonOperator op);
bool is_numeric(fleet::ComparisonOperator op);
// Whether values of the kind can be compared over devices: statistical and learned criteria fit them.
bool is_comparable(MetricKind kind);
// less-than and less-than-equals: a sum that only grows can break them before its time is over.
bool is_upper_bound(fleet::ComparisonOperator op);
// Whether the value is as normal, by a numeric operator.
bool conforms(fleet::ComparisonOperator op, double value, double threshold);

constexpr std::int32_t pane_seconds = 300;
constexpr std::int32_t panes_max = 12;   // durationSeconds 3600
bool is_duration(std::int32_t seconds);  // 300, 600, 900, 1800, 3600

}  // namespace fleetward::detect
