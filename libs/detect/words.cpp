#include "detect/words.hpp"

#include <fmt/format.h>

#include <cmath>

#include "core/text.hpp"
#include "core/time.hpp"
#include "detect/metric.hpp"
#include "detect/validate.hpp"

namespace fleetward::detect {
namespace {

using Op = fleet::ComparisonOperator;

std::string_view operator_words(Op op) {
  switch (op) {
    case Op::less_than:
      return "below";
    case Op::less_than_equals:
      return "at most";
    case Op::greater_than:
      return "above";
    case Op::greater_than_equals:
      return "at least";
    case Op::in_cidr_set:
    case Op::in_port_set:
    case Op::in_set:
      return "within";
    case Op::not_in_cidr_set:
    case Op::not_in_port_set:
    case Op::not_in_set:
      return "none of";
  }
  return "";
}

std::string duration_words(const fleet::Behavior& b, const MetricInfo* known) {
  const bool summed = known != nullptr && known->kind == MetricKind::summed;
  if (!summed || !b.criteria->duration_seconds) return "";
  return fmt::format(" in {} minutes", *b.criteria->duration_seconds / 60);
}

std::string unit_words(const MetricInfo* known) {
  return known == nullptr || known->unit.empty() ? "" : fmt::format(" {}", known->unit);
}

}  // namespace

std::string describe_expected(const fleet::Behavior& b) {
  const MetricInfo* known = find_metric(b.metric);
  std::string out = known != nullptr ? std::string(known->words) : printable(b.metric, 128);
  if (b.dimension) {
    out += fmt::format(" on topics {} {}", b.dimension->negated ? "outside" : "of", printable(b.dimension->name, 128));
  }
  switch (criteria_kind(b)) {
    case CriteriaKind::none:
      return out + " of any value";
    case CriteriaKind::statistical:
      return fmt::format("{} {} the fleet's {}", out,
                         b.criteria->comparison_operator ? operator_words(*b.criteria->comparison_operator) : "beside",
                         printable(*b.criteria->statistic, 16));
    case CriteriaKind::machine_learning:
      return out + " as learned";
    case CriteriaKind::static_threshold:
      break;
  }
  if (!b.criteria->comparison_operator || !b.criteria->value) return out + " of any value";
  out += fmt::format(" {} {}{}{}", operator_words(*b.criteria->comparison_operator), to_human(*b.criteria->value),
                     unit_words(known), duration_words(b, known));
  if (b.criteria->datapoints_to_alarm > 1) {
    out += fmt::format(", {} datapoints in a row", b.criteria->datapoints_to_alarm);
  }
  return out;
}

std::string describe_expected(const fleet::Behavior& b, double threshold, const fleet::CohortSnapshot& snapshot) {
  const MetricInfo* known = find_metric(b.metric);
  // What is counted is whole; the sketch's edges of other numbers have more digits than they mean.
  const std::string value =
      known != nullptr ? fmt::format("{:.0f}", std::floor(threshold)) : fmt::format("{:.6g}", threshold);
  std::string out = fmt::format("{}, {}{}", describe_expected(b), value, unit_words(known));
  out += duration_words(b, known);
  out += fmt::format(", of {} devices (snapshot {})", snapshot.devices, snapshot.number);
  if (b.criteria->datapoints_to_alarm > 1) {
    out += fmt::format(", {} datapoints in a row", b.criteria->datapoints_to_alarm);
  }
  return out;
}

std::string describe_seen(const fleet::Behavior& b, const fleet::MetricValue& value) {
  const MetricInfo* known = find_metric(b.metric);
  return to_human(value) + unit_words(known) + (b.criteria ? duration_words(b, known) : "");
}

}  // namespace fleetward::detect
