#include "detect/metric.hpp"

#include <algorithm>
#include <array>

namespace fleetward::detect {
namespace {

using Op = fleet::ComparisonOperator;
constexpr auto cloud = MetricSide::cloud;
constexpr auto device = MetricSide::device;

constexpr std::array<MetricInfo, 18> table = {{
    {Metric::message_byte_size, "aws:message-byte-size", "message size", "bytes", cloud, MetricKind::per_message},
    {Metric::num_messages_sent, "aws:num-messages-sent", "messages sent", "", cloud, MetricKind::summed},
    {Metric::num_messages_received, "aws:num-messages-received", "messages received", "", cloud, MetricKind::summed},
    {Metric::num_authorization_failures, "aws:num-authorization-failures", "authorization failures", "", cloud,
     MetricKind::summed},
    {Metric::num_connection_attempts, "aws:num-connection-attempts", "connection attempts", "", cloud,
     MetricKind::summed},
    {Metric::num_disconnects, "aws:num-disconnects", "disconnects", "", cloud, MetricKind::summed},
    {Metric::source_ip_address, "aws:source-ip-address", "source addresses", "", cloud, MetricKind::addresses},
    {Metric::disconnect_duration, "aws:disconnect-duration", "time disconnected", "minutes", cloud,
     MetricKind::minutes_away},
    {Metric::all_bytes_out, "aws:all-bytes-out", "bytes out", "", device, MetricKind::summed},
    {Metric::all_bytes_in, "aws:all-bytes-in", "bytes in", "", device, MetricKind::summed},
    {Metric::all_packets_out, "aws:all-packets-out", "packets out", "", device, MetricKind::summed},
    {Metric::all_packets_in, "aws:all-packets-in", "packets in", "", device, MetricKind::summed},
    {Metric::num_listening_tcp_ports, "aws:num-listening-tcp-ports", "number of listening TCP ports", "", device,
     MetricKind::state},
    {Metric::num_listening_udp_ports, "aws:num-listening-udp-ports", "number of listening UDP ports", "", device,
     MetricKind::state},
    {Metric::num_established_tcp_connections, "aws:num-established-tcp-connections", "established TCP connections", "",
     device, MetricKind::state},
    {Metric::destination_ip_addresses, "aws:destination-ip-addresses", "destination addresses", "", device,
     MetricKind::addresses},
    {Metric::listening_tcp_ports, "aws:listening-tcp-ports", "listening TCP ports", "", device, MetricKind::ports},
    {Metric::listening_udp_ports, "aws:listening-udp-ports", "listening UDP ports", "", device, MetricKind::ports},
}};

}  // namespace

std::span<const MetricInfo> metrics() { return table; }

const MetricInfo* find_metric(std::string_view name) {
  const auto at = std::find_if(table.begin(), table.end(), [&](const MetricInfo& m) { return m.name == name; });
  return at == table.end() ? nullptr : &*at;
}

bool has_dimension(Metric metric) {
  switch (metric) {
    case Metric::message_byte_size:
    case Metric::num_messages_sent:
    case Metric::num_messages_received:
    case Metric::num_authorization_failures:
    case Metric::source_ip_address:
      return true;
    default:
      return false;
  }
}

MetricKind kind_of(fleet::CustomMetricType type) {
  switch (type) {
    case fleet::CustomMetricType::number:
      return MetricKind::state;
    case fleet::CustomMetricType::number_list:
      return MetricKind::numbers;
    case fleet::CustomMetricType::string_list:
      return MetricKind::strings;
    case fleet::CustomMetricType::ip_address_list:
      return MetricKind::addresses;
  }
  return MetricKind::state;
}

bool is_numeric(Op op) { return op <= Op::greater_than_equals; }
bool is_upper_bound(Op op) { return op == Op::less_than || op == Op::less_than_equals; }

bool is_comparable(MetricKind kind) {
  return kind == MetricKind::summed || kind == MetricKind::per_message || kind == MetricKind::state;
}

bool is_allowed(MetricKind kind, Op op) {
  switch (kind) {
    case MetricKind::summed:
    case MetricKind::per_message:
    case MetricKind::state:
      return is_numeric(op);
    case MetricKind::minutes_away:
      return is_upper_bound(op);
    case MetricKind::ports:
      return op == Op::in_port_set || op == Op::not_in_port_set;
    case MetricKind::addresses:
      return op == Op::in_cidr_set || op == Op::not_in_cidr_set;
    case MetricKind::numbers:
    case MetricKind::strings:
      return op == Op::in_set || op == Op::not_in_set;
  }
  return false;
}

bool conforms(Op op, double value, double threshold) {
  switch (op) {
    case Op::less_than:
      return value < threshold;
    case Op::less_than_equals:
      return value <= threshold;
    case Op::greater_than:
      return value > threshold;
    case Op::greater_than_equals:
      return value >= threshold;
    default:
      return true;  // no numeric operator: never compiled as one
  }
}

bool is_duration(std::int32_t seconds) {
  return seconds == 300 || seconds == 600 || seconds == 900 || seconds == 1800 || seconds == 3600;
}

}  // namespace fleetward::detect
