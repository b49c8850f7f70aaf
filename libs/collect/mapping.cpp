#include "collect/mapping.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "core/text.hpp"
#include "fleet/names.hpp"
#include "report/ip_address.hpp"

namespace fleetward::collect {
namespace {

using json::Value;
using Type = Mapping::Type;
using Found = std::vector<const Value*>;

constexpr std::array<std::string_view, 6> type_names = {"count", "number", "numbers", "strings", "ports", "addresses"};

// Device Defender's own metrics that a report can carry, and where (reference section 1).
struct OwnMetric {
  std::string_view name;
  Type type;
  std::string_view place;
};
constexpr std::array<OwnMetric, 10> own_metrics = {{
    {"aws:all-bytes-in", Type::count, "/metrics/network_stats/bytes_in"},
    {"aws:all-bytes-out", Type::count, "/metrics/network_stats/bytes_out"},
    {"aws:all-packets-in", Type::count, "/metrics/network_stats/packets_in"},
    {"aws:all-packets-out", Type::count, "/metrics/network_stats/packets_out"},
    {"aws:num-listening-tcp-ports", Type::count, "/metrics/listening_tcp_ports/total"},
    {"aws:num-listening-udp-ports", Type::count, "/metrics/listening_udp_ports/total"},
    {"aws:num-established-tcp-connections", Type::count, "/metrics/tcp_connections/established_connections/total"},
    {"aws:listening-tcp-ports", Type::ports, "/metrics/listening_tcp_ports/ports"},
    {"aws:listening-udp-ports", Type::ports, "/metrics/listening_udp_ports/ports"},
    {"aws:destination-ip-addresses", Type::addresses, "/metrics/tcp_connections/established_connections/connections"},
}};

const OwnMetric* find_own(std::string_view name) {
  const auto at = std::find_if(own_metrics.begin(), own_metrics.end(), [&](const auto& m) { return m.name == name; });
  return at == own_metrics.end() ? nullptr : &*at;
}

std::optional<Type> parse_type(std::string_view text) {
  const auto at = std::find(type_names.begin(), type_names.end(), text);
  if (at == type_names.end()) return std::nullopt;
  return static_cast<Type>(at - type_names.begin());
}

bool is_list(Type type) { return type != Type::count && type != Type::number; }

// The elements of a list, whether the pointer led to the list or, by a *, to each of them.
Result<Found> elements_of(const Found& found, bool by_wildcard) {
  if (by_wildcard) return found;
  if (!found.front()->is_array()) return Error(ErrorCode::invalid_argument, "is not a list");
  Found out;
  for (const Value& item : *found.front()) out.push_back(&item);
  return out;
}

bool is_port(const Value& v) {
  return v.is_number_integer() && v.get<std::int64_t>() >= 1 && v.get<std::int64_t>() <= 65'535;
}

bool is_count(const Value& v) {
  if (v.is_number_unsigned()) return v.get<std::uint64_t>() <= std::uint64_t{INT64_MAX};
  return v.is_number_integer() && v.get<std::int64_t>() >= 0;
}

// With a port, as connections have it; an address alone gets port 0.
std::optional<std::string> as_endpoint(const std::string& text) {
  if (report::parse_ip(text)) return text.find(':') == std::string::npos ? text + ":0" : fmt::format("[{}]:0", text);
  return report::parse_endpoint(text) ? std::optional(text) : std::nullopt;
}

Result<Value> ports_of(const Found& items) {
  Value out = Value::array();
  for (const Value* v : items) {
    if (!is_port(*v)) return Error(ErrorCode::invalid_argument, "has an element that is not a port");
    out.push_back({{"port", *v}});
  }
  return out;
}

Result<Value> connections_of(const Found& items) {
  Value out = Value::array();
  for (const Value* v : items) {
    const auto endpoint = v->is_string() ? as_endpoint(v->get<std::string>()) : std::nullopt;
    if (!endpoint) return Error(ErrorCode::invalid_argument, "has an element that is not an IP address");
    out.push_back({{"remote_addr", *endpoint}});
  }
  return out;
}

Result<Value> list_of(const Found& items, Type type) {
  Value out = Value::array();
  for (const Value* v : items) {
    const bool good = type == Type::strings   ? v->is_string()
                      : type == Type::numbers ? v->is_number()
                      : type == Type::ports   ? is_port(*v)
                                              : v->is_string() && report::parse_ip(v->get<std::string>()).has_value();
    if (!good)
      return Error(ErrorCode::invalid_argument,
                   fmt::format("has an element that is not one of {}", type_names[static_cast<std::size_t>(type)]));
    out.push_back(*v);
  }
  return out;
}

std::string_view custom_member(Type type) {
  switch (type) {
    case Type::count:
    case Type::number:
      return "number";
    case Type::strings:
      return "string_list";
    case Type::addresses:
      return "ip_list";
    default:
      return "number_list";
  }
}

// The value of a metric as it stands in a report.
Result<Value> convert(const Found& found, bool by_wildcard, Type type, const OwnMetric* own) {
  if (!is_list(type)) {
    const Value& v = *found.front();
    if (type == Type::count && !is_count(v)) return Error(ErrorCode::invalid_argument, "is not a count");
    if (type == Type::number && !v.is_number()) return Error(ErrorCode::invalid_argument, "is not a number");
    return v;
  }
  const auto items = elements_of(found, by_wildcard);
  if (!items) return items.error();
  if (own != nullptr && type == Type::ports) return ports_of(*items);
  if (own != nullptr) return connections_of(*items);
  return list_of(*items, type);
}

void put(Value& report, std::string_view place, Value value) {
  report[Value::json_pointer(std::string(place))] = std::move(value);
}

}  // namespace

Status Mapping::read_metric(const Value& value, const std::string& where, Mapping& mapping) {
  json::Reader r(value, where);
  Metric m;
  m.name = r.text("name", 1, 128);
  const std::string path = r.text("path", 1, 1024);
  const std::string type_text = r.text("type");
  m.required = r.boolean_or("required", false);
  r.refuse_unknown();
  if (const auto pointer = Pointer::parse(path); pointer) m.path = *pointer;
  else if (!path.empty()) r.problem("path", pointer.error().message);
  const OwnMetric* own = find_own(m.name);
  const auto type = parse_type(type_text);
  if (m.name.starts_with("aws:") && own == nullptr) r.problem("name", "is no metric that a report can carry");
  else if (own == nullptr && !m.name.empty() && !fleet::is_valid_name(m.name))
    r.problem("name", "has other characters than a-z A-Z 0-9 : _ -");
  if (!type) {
    if (!type_text.empty()) r.problem("type", fmt::format("is not one of {}", fmt::join(type_names, ", ")));
  } else if (own != nullptr && own->type != *type) {
    r.problem("type", fmt::format("must be {} for {}", type_names[static_cast<std::size_t>(own->type)], m.name));
  } else {
    m.type = *type;
    if (!is_list(m.type) && m.path.has_wildcard()) r.problem("path", "has a *, which is for lists");
  }
  const auto same = std::find_if(mapping.metrics_.begin(), mapping.metrics_.end(),
                                 [&m](const Metric& other) { return other.name == m.name; });
  if (same != mapping.metrics_.end()) r.problem("name", "is there twice");
  mapping.metrics_.push_back(std::move(m));
  return r.finish();
}

Result<Mapping> Mapping::from_json(const Value& value) {
  json::Reader r(value, "mapping");
  Mapping mapping;
  std::vector<std::string> problems;
  if (const auto path = r.optional_text("report_id", 1024); path) {
    const auto pointer = Pointer::parse(*path);
    if (!pointer) r.problem("report_id", pointer.error().message);
    else if (pointer->has_wildcard()) r.problem("report_id", "has a *, which is for lists");
    else mapping.report_id_ = *pointer;
  }
  const Value* metrics = r.required("metrics");
  r.refuse_unknown();
  if (metrics != nullptr && (!metrics->is_array() || metrics->empty() || metrics->size() > metrics_max)) {
    r.problem("metrics", fmt::format("is not a list of 1 to {} metrics", metrics_max));
  } else if (metrics != nullptr) {
    for (std::size_t i = 0; i < metrics->size(); ++i) {
      const Status read = read_metric((*metrics)[i], fmt::format("mapping.metrics[{}]", i), mapping);
      if (!read) problems.push_back(read.error().message);
    }
  }
  if (const Status status = r.finish(); !status) problems.push_back(status.error().message);
  if (problems.empty()) return mapping;
  return Error(ErrorCode::invalid_argument, fmt::format("{}", fmt::join(problems, "; ")));
}

Result<Value> Mapping::apply(const Value& message, std::int64_t report_id) const {
  if (report_id_) {
    const Found found = report_id_->find(message);
    if (!found.empty() && !is_count(*found.front()))
      return Error(ErrorCode::invalid_argument, report_id_->text() + " is not a count");
    if (!found.empty()) report_id = found.front()->get<std::int64_t>();
  }
  report_id = std::max<std::int64_t>(report_id, 1);  // a report's id is not 0
  Value report = {{"header", {{"report_id", report_id}, {"version", "1.0"}}}};
  bool has_any = false;
  for (const Metric& m : metrics_) {
    const Found found = m.path.find(message);
    const bool is_there = !found.empty() && (m.path.has_wildcard() || !found.front()->is_null());
    if (!is_there && m.required) return Error(ErrorCode::invalid_argument, fmt::format("{} is missing", m.path.text()));
    if (!is_there) continue;
    const OwnMetric* own = find_own(m.name);
    auto converted = convert(found, m.path.has_wildcard(), m.type, own);
    if (!converted) return converted.error().with_context(m.path.text());
    if (own != nullptr) put(report, own->place, std::move(*converted));
    else report["custom_metrics"][m.name] = Value::array({{{custom_member(m.type), std::move(*converted)}}});
    has_any = true;
  }
  if (!has_any) return Error(ErrorCode::invalid_argument, "none of the mapped fields is in the message");
  return report;
}

}  // namespace fleetward::collect
