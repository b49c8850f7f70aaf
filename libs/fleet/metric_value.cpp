#include "fleet/metric_value.hpp"

#include <fmt/format.h>

#include <array>

#include "core/text.hpp"

namespace fleetward::fleet {
namespace {

constexpr std::size_t elements_max = 1000;  // value elements a profile (reference section 4.1)

constexpr std::array<std::string_view, 10> operator_names = {
    "less-than",   "less-than-equals", "greater-than", "greater-than-equals", "in-cidr-set", "not-in-cidr-set",
    "in-port-set", "not-in-port-set",  "in-set",       "not-in-set"};

constexpr std::array<std::string_view, 4> custom_type_names = {"string-list", "ip-address-list", "number-list",
                                                               "number"};

template <class Enum, std::size_t N>
Result<Enum> parse_enum(std::string_view text, const std::array<std::string_view, N>& names, std::string_view what) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return Error(ErrorCode::invalid_argument,
               fmt::format("{} {} is not one of {}", what, printable(text, 64), fmt::join(names, ", ")));
}

template <class T, class Convert>
std::optional<std::vector<T>> list_of(json::Reader& r, std::string_view key, Convert convert) {
  const json::Value* value = r.member(key);
  if (value == nullptr) return std::nullopt;
  std::vector<T> out;
  if (!value->is_array() || value->size() > elements_max) {
    r.problem(key, fmt::format("is not a list of at most {} elements", elements_max));
    return out;
  }
  for (const json::Value& item : *value) {
    if (std::optional<T> element = convert(item)) {
      out.push_back(std::move(*element));
    } else {
      r.problem(key, "has an element of the wrong type or range");
      return out;
    }
  }
  return out;
}

std::optional<std::string> as_text(const json::Value& v) {
  if (!v.is_string() || v.get_ref<const std::string&>().size() > 1024) return std::nullopt;
  return v.get<std::string>();
}
std::optional<std::string> as_cidr(const json::Value& v) {
  auto text = as_text(v);
  if (!text || text->size() < 2 || text->size() > 43) return std::nullopt;
  return text;
}
std::optional<std::int32_t> as_port(const json::Value& v) {
  if (!v.is_number_integer()) return std::nullopt;
  const auto n = v.get<std::int64_t>();
  return n < 0 || n > 65535 ? std::nullopt : std::optional(static_cast<std::int32_t>(n));
}
std::optional<double> as_number(const json::Value& v) {
  return v.is_number() ? std::optional(v.get<double>()) : std::nullopt;
}

template <class T>
std::string some_of(const std::vector<T>& items) {
  constexpr std::size_t shown_max = 5;
  if (items.empty()) return "none";
  std::string out;
  for (std::size_t i = 0; i < std::min(items.size(), shown_max); ++i) {
    if (i > 0) out += ", ";
    if constexpr (std::is_same_v<T, std::string>) {
      out += printable(items[i], 64);
    } else {
      out += fmt::format("{}", items[i]);
    }
  }
  if (items.size() > shown_max) out += fmt::format(" and {} more", items.size() - shown_max);
  return out;
}

}  // namespace

json::Value to_json(const MetricValue& value) {
  json::Value out = json::Value::object();
  if (value.count) out["count"] = *value.count;
  if (value.cidrs) out["cidrs"] = *value.cidrs;
  if (value.ports) out["ports"] = *value.ports;
  if (value.number) out["number"] = *value.number;
  if (value.numbers) out["numbers"] = *value.numbers;
  if (value.strings) out["strings"] = *value.strings;
  return out;
}

Result<MetricValue> metric_value_from_json(const json::Value& value, std::string path) {
  json::Reader r(value, std::move(path));
  MetricValue out;
  out.count = r.optional_integer("count", 0, std::numeric_limits<std::int64_t>::max());
  out.cidrs = list_of<std::string>(r, "cidrs", as_cidr);
  out.ports = list_of<std::int32_t>(r, "ports", as_port);
  out.number = r.optional_number("number");
  out.numbers = list_of<double>(r, "numbers", as_number);
  out.strings = list_of<std::string>(r, "strings", as_text);
  r.refuse_unknown();
  if (const Status status = r.finish(); !status) return status.error();
  const int members = out.count.has_value() + out.cidrs.has_value() + out.ports.has_value() + out.number.has_value() +
                      out.numbers.has_value() + out.strings.has_value();
  if (members != 1) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("{} needs exactly one of count, cidrs, ports, number, numbers, strings", r.path()));
  }
  return out;
}

std::string to_human(const MetricValue& value) {
  if (value.count) return fmt::format("{}", *value.count);
  if (value.number) return fmt::format("{}", *value.number);
  if (value.cidrs) return some_of(*value.cidrs);
  if (value.ports) return some_of(*value.ports);
  if (value.numbers) return some_of(*value.numbers);
  if (value.strings) return some_of(*value.strings);
  return "nothing";
}

std::string_view to_string(ComparisonOperator op) { return operator_names[static_cast<std::size_t>(op)]; }
Result<ComparisonOperator> parse_comparison_operator(std::string_view text) {
  return parse_enum<ComparisonOperator>(text, operator_names, "comparisonOperator");
}
std::string_view to_string(CustomMetricType type) { return custom_type_names[static_cast<std::size_t>(type)]; }
Result<CustomMetricType> parse_custom_metric_type(std::string_view text) {
  return parse_enum<CustomMetricType>(text, custom_type_names, "metricType");
}

}  // namespace fleetward::fleet
