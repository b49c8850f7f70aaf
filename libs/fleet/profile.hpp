// Security profiles: behaviors that say what is normal, and where they apply (reference sections 4.1 to 4.3).
//
// JSON is the API's. Parsing checks shape and ranges of single members; whether a behavior makes sense for its metric
// (operator, value, duration) is detect's validate_behavior(), which knows the metrics.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/dimension.hpp"
#include "fleet/metric_value.hpp"
#include "fleet/names.hpp"

namespace fleetward::fleet {

constexpr std::size_t behaviors_per_profile_max = 100;

struct MetricDimension {
  std::string name;
  bool negated = false;  // operator NOT_IN
  friend bool operator==(const MetricDimension&, const MetricDimension&) = default;
};

struct BehaviorCriteria {
  std::optional<ComparisonOperator> comparison_operator;
  std::optional<MetricValue> value;
  std::optional<std::int32_t> duration_seconds;
  std::int32_t datapoints_to_alarm = 1;  // 1..10, consecutive
  std::int32_t datapoints_to_clear = 1;
  std::optional<std::string> statistic;      // statisticalThreshold.statistic
  std::optional<std::string> ml_confidence;  // mlDetectionConfig.confidenceLevel
  friend bool operator==(const BehaviorCriteria&, const BehaviorCriteria&) = default;
};

struct Behavior {
  std::string name;
  std::string metric;
  std::optional<MetricDimension> dimension;
  std::optional<BehaviorCriteria> criteria;
  bool suppress_alerts = false;
  std::optional<bool> export_metric;
  friend bool operator==(const Behavior&, const Behavior&) = default;
};

struct MetricToRetain {
  std::string metric;
  std::optional<MetricDimension> dimension;
  friend bool operator==(const MetricToRetain&, const MetricToRetain&) = default;
};

struct SecurityProfile {
  std::string name;
  std::int64_t version = 1;
  std::string description;
  std::vector<Behavior> behaviors;
  std::vector<MetricToRetain> additional_metrics_to_retain;
  json::Value alert_targets = json::Value::object();  // kept as given
  friend bool operator==(const SecurityProfile&, const SecurityProfile&) = default;
};

json::Value to_json(const Behavior& behavior);
Result<Behavior> behavior_from_json(const json::Value& value, std::string path);
// {securityProfileName, version, securityProfileDescription, behaviors, additionalMetricsToRetainV2, alertTargets}
json::Value to_json(const SecurityProfile& profile);
Result<SecurityProfile> profile_from_json(const json::Value& value, std::string path);

// The rules that hold together from one moment on (design section 5.3): topic rules, key manifest/N.
struct Manifest {
  struct Entry {
    std::string profile;
    std::int64_t version = 1;
    std::vector<Target> targets;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  std::int64_t number = 0;
  std::vector<Entry> profiles;  // by name; a profile without targets may be missing
  std::vector<CustomMetric> custom_metrics;
  std::vector<DimensionVersion> dimensions;  // by name
  // 0 when the manifest has no such dimension.
  [[nodiscard]] std::int64_t dimension_version(std::string_view name) const;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

json::Value to_json(const Manifest& manifest);
Result<Manifest> manifest_from_json(const json::Value& value);

std::string profile_key(std::string_view name, std::int64_t version);  // profile/NAME@V
std::string manifest_key(std::int64_t number);                         // manifest/N

}  // namespace fleetward::fleet
