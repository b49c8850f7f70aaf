#include "detect/validate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/text.hpp"
#include "detect/metric.hpp"
#include "fleet/cohort.hpp"
#include "report/ip_address.hpp"

namespace fleetward::detect {
namespace {

using fleet::MetricValue;

constexpr auto& statistics = fleet::statistic_names;

std::string_view member_of(const MetricValue& v) {
  if (v.count) return "count";
  if (v.cidrs) return "cidrs";
  if (v.ports) return "ports";
  if (v.number) return "number";
  if (v.numbers) return "numbers";
  return "strings";
}

bool fits(MetricKind kind, MetricSide side, const MetricValue& v) {
  switch (kind) {
    case MetricKind::summed:
    case MetricKind::per_message:
    case MetricKind::minutes_away:
      return v.count.has_value();
    case MetricKind::state:
      return v.count.has_value() || (side == MetricSide::custom && v.number.has_value());
    case MetricKind::ports:
      return v.ports.has_value();
    case MetricKind::addresses:
      return v.cidrs.has_value();
    case MetricKind::numbers:
      return v.numbers.has_value();
    case MetricKind::strings:
      return v.strings.has_value();
  }
  return false;
}

std::size_t elements(const MetricValue& v) {
  return (v.cidrs ? v.cidrs->size() : 0) + (v.ports ? v.ports->size() : 0) + (v.numbers ? v.numbers->size() : 0) +
         (v.strings ? v.strings->size() : 0);
}

// What is wrong with a metricDimension; empty when it is good, or when there is none.
std::string dimension_problem(const std::string& metric, const std::optional<fleet::MetricDimension>& dimension,
                              const std::vector<std::string>& dimensions) {
  if (!dimension) return "";
  const MetricInfo* known = find_metric(metric);
  if (known == nullptr || !has_dimension(known->metric)) {
    return fmt::format("metricDimension is not allowed for metric {}", printable(metric, 128));
  }
  if (std::find(dimensions.begin(), dimensions.end(), dimension->name) != dimensions.end()) return "";
  return fmt::format("metricDimension: dimension {} does not exist", printable(dimension->name, 128));
}

// Collects the problems of one behavior.
class Check {
 public:
  Check(const fleet::Behavior& behavior, std::vector<std::string>& out) : behavior_(behavior), out_(out) {}
  void problem(const std::string& what) {
    out_.push_back(fmt::format("Behavior {} is malformed. {}", printable(behavior_.name, 128), what));
  }

  void criteria(MetricKind kind, MetricSide side, const fleet::BehaviorCriteria& c) {
    if (c.duration_seconds) duration(kind, *c.duration_seconds);
    switch (criteria_kind(behavior_)) {
      case CriteriaKind::none:
        problem("criteria needs comparisonOperator and value, statisticalThreshold or mlDetectionConfig");
        return;
      case CriteriaKind::static_threshold:
        static_threshold(kind, side, c);
        return;
      case CriteriaKind::statistical:
        statistical(kind, c);
        return;
      case CriteriaKind::machine_learning:
        machine_learning(kind, c);
    }
  }

 private:
  [[nodiscard]] std::string metric() const { return printable(behavior_.metric, 128); }

  void duration(MetricKind kind, std::int32_t seconds) {
    if (kind != MetricKind::summed && kind != MetricKind::per_message && kind != MetricKind::state) {
      problem(fmt::format("durationSeconds is not allowed for metric {}", metric()));
    } else if (!is_duration(seconds)) {
      problem(fmt::format("durationSeconds {} should be one of [300, 600, 900, 1800, 3600]", seconds));
    }
  }

  void static_threshold(MetricKind kind, MetricSide side, const fleet::BehaviorCriteria& c) {
    if (!c.comparison_operator) return problem("comparisonOperator is required");
    if (!is_allowed(kind, *c.comparison_operator)) {
      problem(fmt::format("comparisonOperator {} is not allowed for metric {}", to_string(*c.comparison_operator),
                          metric()));
    }
    if (!c.value) return problem("value is required");
    if (!fits(kind, side, *c.value)) {
      problem(fmt::format("value.{} is not allowed for metric {}", member_of(*c.value), metric()));
    } else if (c.value->cidrs) {
      if (const auto set = report::CidrSet::parse(*c.value->cidrs); !set)
        problem("value.cidrs: " + set.error().message);
    }
    if (kind == MetricKind::summed && !c.duration_seconds) {
      problem(fmt::format("durationSeconds is required for metric {}", metric()));
    }
  }

  void statistical(MetricKind kind, const fleet::BehaviorCriteria& c) {
    if (!is_comparable(kind)) {
      problem(fmt::format("statisticalThreshold is not allowed for metric {}", metric()));
    }
    if (c.value) problem("value and statisticalThreshold exclude each other");
    if (!c.comparison_operator || !is_numeric(*c.comparison_operator)) {
      problem("statisticalThreshold needs a numeric comparisonOperator");
    }
    if (!c.duration_seconds) problem("statisticalThreshold needs durationSeconds");
    if (std::find(statistics.begin(), statistics.end(), *c.statistic) == statistics.end()) {
      problem(
          fmt::format("statistic {} should be one of [{}]", printable(*c.statistic, 64), fmt::join(statistics, ", ")));
    }
  }

  void machine_learning(MetricKind kind, const fleet::BehaviorCriteria& c) {
    if (!is_comparable(kind)) {
      problem(fmt::format("mlDetectionConfig is not allowed for metric {}", metric()));
    }
    if (c.value || c.comparison_operator || c.statistic) {
      problem("mlDetectionConfig excludes comparisonOperator, value and statisticalThreshold");
    }
  }

  const fleet::Behavior& behavior_;
  std::vector<std::string>& out_;
};

}  // namespace

CriteriaKind criteria_kind(const fleet::Behavior& behavior) {
  if (!behavior.criteria) return CriteriaKind::none;
  const fleet::BehaviorCriteria& c = *behavior.criteria;
  if (c.ml_confidence) return CriteriaKind::machine_learning;
  if (c.statistic) return CriteriaKind::statistical;
  if (c.comparison_operator || c.value) return CriteriaKind::static_threshold;
  return CriteriaKind::none;
}

std::vector<std::string> validate_behavior(const fleet::Behavior& behavior,
                                           const std::vector<fleet::CustomMetric>& custom_metrics,
                                           const std::vector<std::string>& dimensions) {
  std::vector<std::string> out;
  Check check(behavior, out);
  MetricSide side = MetricSide::custom;
  MetricKind kind = MetricKind::state;
  if (const MetricInfo* known = find_metric(behavior.metric)) {
    side = known->side;
    kind = known->kind;
  } else {
    const auto at = std::find_if(custom_metrics.begin(), custom_metrics.end(),
                                 [&](const fleet::CustomMetric& m) { return m.name == behavior.metric; });
    if (at == custom_metrics.end()) {
      check.problem(behavior.metric.empty() ? "metric is required"
                                            : fmt::format("metric {} does not exist", printable(behavior.metric, 128)));
      return out;
    }
    kind = kind_of(at->type);
  }
  if (const std::string wrong = dimension_problem(behavior.metric, behavior.dimension, dimensions); !wrong.empty()) {
    check.problem(wrong);
  }
  if (behavior.criteria) check.criteria(kind, side, *behavior.criteria);
  return out;
}

std::vector<std::string> unsupported_parts(const fleet::Behavior& behavior) {
  std::vector<std::string> out;
  const auto unsupported = [&](std::string_view part) {
    out.push_back(fmt::format("Behavior {} is not supported yet. {} would not be evaluated",
                              printable(behavior.name, 128), part));
  };
  const CriteriaKind kind = criteria_kind(behavior);
  if (kind == CriteriaKind::machine_learning) unsupported("mlDetectionConfig");
  return out;
}

std::vector<std::string> validate_retained(const fleet::MetricToRetain& metric,
                                           const std::vector<std::string>& dimensions) {
  const std::string wrong = dimension_problem(metric.metric, metric.dimension, dimensions);
  if (wrong.empty()) return {};
  return {fmt::format("Metric {} to retain is malformed. {}", printable(metric.metric, 128), wrong)};
}

std::vector<std::string> validate_behaviors(const std::vector<fleet::Behavior>& behaviors,
                                            const std::vector<fleet::CustomMetric>& custom_metrics,
                                            const std::vector<std::string>& dimensions) {
  std::vector<std::string> out;
  if (behaviors.size() > fleet::behaviors_per_profile_max) {
    out.push_back(fmt::format("A security profile has at most {} behaviors", fleet::behaviors_per_profile_max));
  }
  std::set<std::string_view> names;
  std::size_t value_elements = 0;
  bool has_rules = false;
  bool has_ml = false;
  for (const fleet::Behavior& behavior : behaviors) {
    for (std::string& problem : validate_behavior(behavior, custom_metrics, dimensions))
      out.push_back(std::move(problem));
    for (std::string& problem : unsupported_parts(behavior)) out.push_back(std::move(problem));
    if (!names.insert(behavior.name).second) {
      out.push_back(fmt::format("Behavior {} is malformed. The name is there twice", printable(behavior.name, 128)));
    }
    if (behavior.criteria && behavior.criteria->value) value_elements += elements(*behavior.criteria->value);
    const CriteriaKind kind = criteria_kind(behavior);
    has_ml = has_ml || kind == CriteriaKind::machine_learning;
    has_rules = has_rules || kind == CriteriaKind::static_threshold || kind == CriteriaKind::statistical;
  }
  if (has_ml && has_rules) out.emplace_back("A security profile has either rules or mlDetectionConfig, not both");
  if (value_elements > value_elements_per_profile_max) {
    out.push_back(fmt::format("A security profile has at most {} value elements", value_elements_per_profile_max));
  }
  return out;
}

}  // namespace fleetward::detect
