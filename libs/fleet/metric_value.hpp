// MetricValue and the criteria words of Device Defender (reference sections 4.1 and 5.5), with their JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "json/json.hpp"

namespace fleetward::fleet {

// One of its members is set. In JSON as the API has it: {"count": 5}, {"cidrs": ["10.0.0.0/8"]}, …
struct MetricValue {
  std::optional<std::int64_t> count;
  std::optional<std::vector<std::string>> cidrs;
  std::optional<std::vector<std::int32_t>> ports;
  std::optional<double> number;
  std::optional<std::vector<double>> numbers;
  std::optional<std::vector<std::string>> strings;
  friend bool operator==(const MetricValue&, const MetricValue&) = default;
};

json::Value to_json(const MetricValue& value);
Result<MetricValue> metric_value_from_json(const json::Value& value, std::string path);
// For people: "5", "23, 2323", "10.0.0.0/8" (at most a few items, then "… and 7 more").
std::string to_human(const MetricValue& value);

enum class ComparisonOperator {
  less_than,
  less_than_equals,
  greater_than,
  greater_than_equals,
  in_cidr_set,
  not_in_cidr_set,
  in_port_set,
  not_in_port_set,
  in_set,
  not_in_set,
};
std::string_view to_string(ComparisonOperator op);  // less-than, …
Result<ComparisonOperator> parse_comparison_operator(std::string_view text);

enum class CustomMetricType { string_list, ip_address_list, number_list, number };
std::string_view to_string(CustomMetricType type);  // string-list, …
Result<CustomMetricType> parse_custom_metric_type(std::string_view text);

struct CustomMetric {
  std::string name;
  CustomMetricType type = CustomMetricType::number;
  std::string display_name;
  friend bool operator==(const CustomMetric&, const CustomMetric&) = default;
};

}  // namespace fleetward::fleet
