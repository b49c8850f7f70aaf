#include "fleet/profile.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace fleetward::fleet {
namespace {

json::Value dimension_to_json(const MetricDimension& d) {
  return {{"dimensionName", d.name}, {"operator", d.negated ? "NOT_IN" : "IN"}};
}

std::optional<MetricDimension> dimension_from(json::Reader& parent, std::string_view key) {
  const json::Value* value = parent.member(key);
  if (value == nullptr) return std::nullopt;
  json::Reader r(*value, fmt::format("{}.{}", parent.path(), key));
  MetricDimension d;
  d.name = r.text("dimensionName", 1, 128);
  const std::string op = r.text_or("operator", "IN");
  if (op != "IN" && op != "NOT_IN") r.problem("operator", "is not IN or NOT_IN");
  d.negated = op == "NOT_IN";
  if (const Status status = r.finish(); !status) parent.problem(key, status.error().message);
  return d;
}

json::Value criteria_to_json(const BehaviorCriteria& c) {
  json::Value out = json::Value::object();
  if (c.comparison_operator) out["comparisonOperator"] = to_string(*c.comparison_operator);
  if (c.value) out["value"] = to_json(*c.value);
  if (c.duration_seconds) out["durationSeconds"] = *c.duration_seconds;
  out["consecutiveDatapointsToAlarm"] = c.datapoints_to_alarm;
  out["consecutiveDatapointsToClear"] = c.datapoints_to_clear;
  if (c.statistic) out["statisticalThreshold"] = {{"statistic", *c.statistic}};
  if (c.ml_confidence) out["mlDetectionConfig"] = {{"confidenceLevel", *c.ml_confidence}};
  return out;
}

std::optional<std::string> nested_text(json::Reader& parent, std::string_view key, std::string_view inner,
                                       bool required) {
  const json::Value* value = parent.member(key);
  if (value == nullptr) return std::nullopt;
  json::Reader r(*value, std::string(key));
  auto text = required ? std::optional(r.text(inner, 1, 64)) : r.optional_text(inner, 64);
  if (const Status status = r.finish(); !status) parent.problem(key, status.error().message);
  return text;
}

std::optional<BehaviorCriteria> criteria_from(json::Reader& parent) {
  const json::Value* value = parent.member("criteria");
  if (value == nullptr) return std::nullopt;
  json::Reader r(*value, parent.path() + ".criteria");
  BehaviorCriteria c;
  if (const auto op = r.optional_text("comparisonOperator")) {
    const auto parsed = parse_comparison_operator(*op);
    if (parsed) c.comparison_operator = *parsed;
    else parent.problem("criteria", parsed.error().message);
  }
  if (const json::Value* v = r.member("value")) {
    auto parsed = metric_value_from_json(*v, r.path() + ".value");
    if (parsed) c.value = std::move(*parsed);
    else parent.problem("criteria", parsed.error().message);
  }
  if (const auto duration = r.optional_integer("durationSeconds", 0, 86'400)) {
    c.duration_seconds = static_cast<std::int32_t>(*duration);
  }
  c.datapoints_to_alarm = static_cast<std::int32_t>(r.integer_or("consecutiveDatapointsToAlarm", 1, 1, 10));
  c.datapoints_to_clear = static_cast<std::int32_t>(r.integer_or("consecutiveDatapointsToClear", 1, 1, 10));
  c.statistic = nested_text(r, "statisticalThreshold", "statistic", false);
  c.ml_confidence = nested_text(r, "mlDetectionConfig", "confidenceLevel", true);
  if (c.ml_confidence && *c.ml_confidence != "LOW" && *c.ml_confidence != "MEDIUM" && *c.ml_confidence != "HIGH") {
    r.problem("mlDetectionConfig.confidenceLevel", "is not LOW, MEDIUM or HIGH");
  }
  r.refuse_unknown();
  if (const Status status = r.finish(); !status) parent.problem("criteria", status.error().message);
  return c;
}

}  // namespace

json::Value to_json(const Behavior& b) {
  json::Value out = {{"name", b.name}};
  if (!b.metric.empty()) out["metric"] = b.metric;
  if (b.dimension) out["metricDimension"] = dimension_to_json(*b.dimension);
  if (b.criteria) out["criteria"] = criteria_to_json(*b.criteria);
  if (b.suppress_alerts) out["suppressAlerts"] = true;
  if (b.export_metric) out["exportMetric"] = *b.export_metric;
  return out;
}

Result<Behavior> behavior_from_json(const json::Value& value, std::string path) {
  json::Reader r(value, std::move(path));
  Behavior b;
  b.name = r.text("name", 1, 128);
  if (!b.name.empty() && !is_valid_name(b.name)) r.problem("name", "has characters other than [a-zA-Z0-9:_-]");
  b.metric = r.text_or("metric", "", 256);
  b.dimension = dimension_from(r, "metricDimension");
  b.criteria = criteria_from(r);
  b.suppress_alerts = r.boolean_or("suppressAlerts", false);
  b.export_metric = r.optional_boolean("exportMetric");
  r.refuse_unknown();
  if (const Status status = r.finish(); !status) return status.error();
  return b;
}

json::Value to_json(const SecurityProfile& p) {
  json::Value behaviors = json::Value::array();
  for (const Behavior& b : p.behaviors) behaviors.push_back(to_json(b));
  json::Value retain = json::Value::array();
  for (const MetricToRetain& m : p.additional_metrics_to_retain) {
    json::Value item = {{"metric", m.metric}};
    if (m.dimension) item["metricDimension"] = dimension_to_json(*m.dimension);
    retain.push_back(std::move(item));
  }
  return {{"securityProfileName", p.name},
          {"version", p.version},
          {"securityProfileDescription", p.description},
          {"behaviors", std::move(behaviors)},
          {"additionalMetricsToRetainV2", std::move(retain)},
          {"alertTargets", p.alert_targets}};
}

Result<SecurityProfile> profile_from_json(const json::Value& value, std::string path) {
  json::Reader r(value, std::move(path));
  SecurityProfile p;
  p.name = r.text("securityProfileName", 1, 128);
  if (!p.name.empty() && !is_valid_name(p.name))
    r.problem("securityProfileName", "has characters other than [a-zA-Z0-9:_-]");
  p.version = r.integer_or("version", 1, 1, std::numeric_limits<std::int64_t>::max());
  p.description = r.text_or("securityProfileDescription", "", 1000);
  if (const json::Value* list = r.member("behaviors")) {
    if (!list->is_array() || list->size() > behaviors_per_profile_max) {
      r.problem("behaviors", fmt::format("is not a list of at most {}", behaviors_per_profile_max));
    } else {
      for (std::size_t i = 0; i < list->size(); ++i) {
        auto behavior =
            behavior_from_json((*list)[i], fmt::format("{}behaviors[{}]", r.path().empty() ? "" : r.path() + ".", i));
        if (behavior) p.behaviors.push_back(std::move(*behavior));
        else r.problem("behaviors", behavior.error().message);
      }
    }
  }
  if (const json::Value* list = r.member("additionalMetricsToRetainV2"); list != nullptr && list->is_array()) {
    for (const json::Value& item : *list) {
      json::Reader inner(item, "additionalMetricsToRetainV2");
      MetricToRetain m;
      m.metric = inner.text("metric", 1, 256);
      m.dimension = dimension_from(inner, "metricDimension");
      if (const Status status = inner.finish(); !status)
        r.problem("additionalMetricsToRetainV2", status.error().message);
      p.additional_metrics_to_retain.push_back(std::move(m));
    }
  }
  if (const json::Value* targets = r.member("alertTargets")) p.alert_targets = *targets;
  if (const Status status = r.finish(); !status) return status.error();
  return p;
}

json::Value to_json(const Manifest& m) {
  json::Value profiles = json::Value::array();
  for (const Manifest::Entry& e : m.profiles) {
    json::Value targets = json::Value::array();
    for (const Target& t : e.targets) targets.push_back(to_text(t));
    profiles.push_back({{"profile", e.profile}, {"version", e.version}, {"targets", std::move(targets)}});
  }
  json::Value metrics = json::Value::array();
  for (const CustomMetric& c : m.custom_metrics) metrics.push_back({{"name", c.name}, {"type", to_string(c.type)}});
  json::Value out = {{"number", m.number}, {"profiles", std::move(profiles)}, {"customMetrics", std::move(metrics)}};
  if (!m.dimensions.empty()) out["dimensions"] = to_json(m.dimensions);
  return out;
}

std::int64_t Manifest::dimension_version(std::string_view name) const {
  const auto at =
      std::find_if(dimensions.begin(), dimensions.end(), [&](const auto& d) { return d.dimension == name; });
  return at == dimensions.end() ? 0 : at->version;
}

Result<Manifest> manifest_from_json(const json::Value& value) {
  json::Reader r(value, "manifest");
  Manifest m;
  m.number = r.integer("number", 0, std::numeric_limits<std::int64_t>::max());
  const json::Value* profiles = r.required("profiles");
  const json::Value* metrics = r.required("customMetrics");
  if (profiles != nullptr && profiles->is_array()) {
    for (const json::Value& item : *profiles) {
      json::Reader e(item, "manifest.profiles");
      Manifest::Entry entry{
          e.text("profile", 1, 128), e.integer("version", 1, std::numeric_limits<std::int64_t>::max()), {}};
      for (const std::string& text : e.texts_or_empty("targets")) {
        if (auto target = parse_target(text); target.ok()) entry.targets.push_back(std::move(*target));
        else e.problem("targets", "has an element that is no target");
      }
      if (const Status status = e.finish(); !status) return status.error();
      m.profiles.push_back(std::move(entry));
    }
  }
  if (metrics != nullptr && metrics->is_array()) {
    for (const json::Value& item : *metrics) {
      json::Reader c(item, "manifest.customMetrics");
      CustomMetric metric;
      metric.name = c.text("name", 1, 128);
      const auto type = parse_custom_metric_type(c.text("type"));
      if (const Status status = c.finish(); !status) return status.error();
      if (!type) return type.error();
      metric.type = *type;
      m.custom_metrics.push_back(std::move(metric));
    }
  }
  if (const json::Value* list = r.member("dimensions"); list != nullptr) {
    m.dimensions = read_dimension_versions(r, *list);
  }
  if (const Status status = r.finish(); !status) return status.error();
  return m;
}

std::string profile_key(std::string_view name, std::int64_t version) {
  return fmt::format("profile/{}@{}", name, version);
}
std::string manifest_key(std::int64_t number) { return fmt::format("manifest/{}", number); }

}  // namespace fleetward::fleet
