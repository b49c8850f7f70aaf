// For tests: a second reader of reports, over a whole JSON value and as plain as can be. Where it and the parser differ
// on the same bytes, there is a way around the rules. It serves both encodings: nlohmann reads CBOR into the same
// value.
#pragma once

#include <charconv>
#include <cmath>

#include "json/json.hpp"
#include "report/custom_value.hpp"
#include "report/parser.hpp"

namespace fleetward::report::testing {

inline const CustomMetricTable& customs() {
  static const CustomMetricTable table({{"cpu", fleet::CustomMetricType::number, ""},
                                        {"cores", fleet::CustomMetricType::number_list, ""},
                                        {"if", fleet::CustomMetricType::string_list, ""},
                                        {"dns", fleet::CustomMetricType::ip_address_list, ""}});
  return table;
}

struct PlainReport {
  std::int64_t report_id = 0;
  std::string version;
  std::optional<std::int64_t> bytes_in, bytes_out, packets_in, packets_out;
  std::optional<std::int64_t> tcp_ports_total, udp_ports_total, connections_total;
  std::optional<std::vector<std::uint16_t>> tcp_ports, udp_ports;
  std::optional<std::vector<Connection>> connections;
  std::map<std::string, json::Value> customs;  // taken: the value
  std::size_t problem_count = 0;
};

// Throws nothing but Refused, which never leaves read_plainly().
class PlainReader {
 public:
  explicit PlainReader(const CustomMetricTable& customs) : customs_(customs) {}

  PlainReport read(const json::Value& root) {
    const json::Value* header = member(object(root), "header", "hed");
    if (header == nullptr) throw Refused();
    const json::Value* id = member(object(*header), "report_id", "rid");
    const json::Value* version = member(*header, "version", "v");
    if (id == nullptr || version == nullptr || !version->is_string()) throw Refused();
    out_.report_id = integer(*id, 1);
    out_.version = version->get<std::string>();
    if (!is_known_version(out_.version)) throw Refused();
    const json::Value* metrics = present(member(root, "metrics", "met"));
    const json::Value* custom = present(member(root, "custom_metrics", "cmet"));
    if (metrics == nullptr && custom == nullptr) throw Refused();
    if (metrics != nullptr) read_metrics(object(*metrics));
    if (custom != nullptr) {
      for (const auto& [name, value] : object(*custom).items()) read_custom(name, value);
    }
    return std::move(out_);
  }
  struct Refused {};

 private:
  using Value = json::Value;

  // A member by either name; refused when both are there.
  static const Value* member(const Value& object, const char* long_name, const char* short_name) {
    const auto a = object.find(long_name);
    const auto b = object.find(short_name);
    if (a != object.end() && b != object.end()) throw Refused();
    if (a != object.end()) return &*a;
    return b != object.end() ? &*b : nullptr;
  }
  static const Value* present(const Value* value) { return value == nullptr || value->is_null() ? nullptr : value; }
  static const Value* child(const Value& object, const char* long_name, const char* short_name) {
    return present(member(object, long_name, short_name));
  }
  static const Value& object(const Value& value) {
    if (!value.is_object()) throw Refused();
    return value;
  }
  static const Value& list(const Value& value) {
    if (!value.is_array()) throw Refused();
    return value;
  }
  static bool is_known_version(const std::string& text) {
    return text.size() >= 3 && text.size() <= 8 && text.starts_with("1.") &&
           text.find_first_not_of("0123456789", 2) == std::string::npos;
  }
  static std::int64_t integer(const Value& value, std::int64_t min,
                              std::int64_t max = std::numeric_limits<std::int64_t>::max()) {
    std::int64_t n = 0;
    if (value.is_number_unsigned()) {
      if (value.get<std::uint64_t>() > static_cast<std::uint64_t>(max)) throw Refused();
      n = value.get<std::int64_t>();
    } else if (value.is_number_integer()) {
      n = value.get<std::int64_t>();
    } else if (value.is_number_float()) {
      const double d = value.get<double>();
      if (!(std::abs(d) <= 9007199254740992.0) || d != std::floor(d)) throw Refused();
      n = static_cast<std::int64_t>(d);
    } else {
      throw Refused();
    }
    if (n < min || n > max) throw Refused();
    return n;
  }
  static std::uint16_t port(const Value& value, std::int64_t min) {
    if (!value.is_string()) return static_cast<std::uint16_t>(integer(value, min, 65535));
    const auto& text = value.get_ref<const std::string&>();
    std::uint16_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || end != text.data() + text.size() || n < min) throw Refused();
    return n;
  }
  static std::optional<std::int64_t> counter(const Value& object, const char* long_name, const char* short_name) {
    const Value* value = child(object, long_name, short_name);
    return value == nullptr ? std::nullopt : std::optional(integer(*value, 0));
  }
  static void optional_text(const Value& object, const char* long_name, const char* short_name) {
    const Value* value = child(object, long_name, short_name);
    if (value != nullptr && !value->is_string()) throw Refused();
  }

  static void read_ports(const Value& block, std::optional<std::vector<std::uint16_t>>& ports,
                         std::optional<std::int64_t>& total) {
    total = counter(object(block), "total", "t");
    const Value* entries = child(block, "ports", "pts");
    if (entries == nullptr) return;
    ports.emplace();
    for (const Value& entry : list(*entries)) {
      optional_text(object(entry), "interface", "if");
      const Value* number = member(entry, "port", "pt");
      if (number == nullptr) throw Refused();
      ports->push_back(port(*number, 1));
    }
  }
  void read_connections(const Value& block) {
    const Value* established = child(object(block), "established_connections", "ec");
    if (established == nullptr) return;
    out_.connections_total = counter(object(*established), "total", "t");
    const Value* entries = child(*established, "connections", "cs");
    if (entries == nullptr) return;
    out_.connections.emplace();
    for (const Value& entry : list(*entries)) {
      optional_text(object(entry), "local_interface", "li");
      const Value* remote = member(entry, "remote_addr", "rad");
      if (remote == nullptr || !remote->is_string()) throw Refused();
      const auto endpoint = parse_endpoint(remote->get_ref<const std::string&>());
      if (!endpoint) throw Refused();
      Connection& c = out_.connections->emplace_back(Connection{*endpoint, std::nullopt});
      if (const Value* local = child(entry, "local_port", "lp")) c.local_port = port(*local, 0);
    }
  }
  void read_metrics(const Value& metrics) {
    if (const Value* v = child(metrics, "tcp_connections", "tc")) read_connections(*v);
    if (const Value* v = child(metrics, "listening_tcp_ports", "tp"))
      read_ports(*v, out_.tcp_ports, out_.tcp_ports_total);
    if (const Value* v = child(metrics, "listening_udp_ports", "up"))
      read_ports(*v, out_.udp_ports, out_.udp_ports_total);
    if (const Value* v = child(metrics, "network_stats", "ns")) {
      out_.bytes_in = counter(object(*v), "bytes_in", "bi");
      out_.bytes_out = counter(*v, "bytes_out", "bo");
      out_.packets_in = counter(*v, "packets_in", "pi");
      out_.packets_out = counter(*v, "packets_out", "po");
    }
  }

  static bool is_good_element(const Value& value, fleet::CustomMetricType type) {
    switch (type) {
      case fleet::CustomMetricType::number:
      case fleet::CustomMetricType::number_list:
        return value.is_number();
      case fleet::CustomMetricType::string_list:
        return value.is_string() && string_problem(value.get_ref<const std::string&>()).empty();
      case fleet::CustomMetricType::ip_address_list:
        return value.is_string() && parse_ip(value.get_ref<const std::string&>());
    }
    return false;
  }
  void read_custom(const std::string& name, const Value& value) {
    if (value.is_object()) throw Refused();
    constexpr std::array<const char*, 4> names = {"number", "number_list", "string_list", "ip_list"};
    constexpr std::array<fleet::CustomMetricType, 4> types = {
        fleet::CustomMetricType::number, fleet::CustomMetricType::number_list, fleet::CustomMetricType::string_list,
        fleet::CustomMetricType::ip_address_list};
    const auto metric = customs_.find(name);
    ++out_.problem_count;
    if (!metric || !value.is_array() || value.size() != 1 || !value[0].is_object()) return;
    const Value* found = nullptr;
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto at = value[0].find(names[i]);
      if (at == value[0].end()) continue;
      if (found != nullptr || customs_[*metric].type != types[i]) return;
      found = &*at;
    }
    if (found == nullptr) return;
    const auto type = customs_[*metric].type;
    if (type == fleet::CustomMetricType::number) {
      if (!is_good_element(*found, type)) return;
    } else {
      if (!found->is_array()) return;
      for (const Value& element : *found) {
        if (!is_good_element(element, type)) return;
      }
    }
    --out_.problem_count;
    out_.customs[name] = *found;
  }

  const CustomMetricTable& customs_;
  PlainReport out_;
};

inline std::optional<PlainReport> read_plainly(const json::Value& value, const CustomMetricTable& customs) {
  try {
    return PlainReader(customs).read(value);
  } catch (const PlainReader::Refused&) {
    return std::nullopt;
  }
}

// A custom metric's value as the report holds it, as JSON.
inline json::Value taken_value(const Report& r, const CustomMetricValue& taken, fleet::CustomMetricType type) {
  if (type == fleet::CustomMetricType::number) return taken.number;
  json::Value out = json::Value::array();
  for (std::size_t i = taken.first; i < taken.first + taken.count; ++i) {
    if (type == fleet::CustomMetricType::number_list) out.push_back(r.numbers[i]);
    if (type == fleet::CustomMetricType::string_list) out.push_back(r.strings[i]);
    if (type == fleet::CustomMetricType::ip_address_list) out.push_back(to_text(r.addresses[i]));
  }
  return out;
}

inline json::Value as_taken(const json::Value& value, fleet::CustomMetricType type) {
  json::Value out = value;
  if (type == fleet::CustomMetricType::number) return value.get<double>();
  for (json::Value& element : out) {
    if (type == fleet::CustomMetricType::number_list) element = element.get<double>();
    if (type == fleet::CustomMetricType::ip_address_list)
      element = to_text(*parse_ip(element.get_ref<const std::string&>()));
  }
  return out;
}

// What differs, in words; empty when nothing does. A number with too many digits is a problem that only we can see:
// a JSON value does not keep its text.
inline std::string difference(const Report& r, const PlainReport& p, const CustomMetricTable& table = customs()) {
  const auto list = [](const auto& ours, const auto& theirs) {
    return theirs ? ours.present && ours.items == *theirs : !ours.present && ours.items.empty();
  };
  if (r.report_id != p.report_id || r.version != p.version) return "the header differs";
  if (r.bytes_in != p.bytes_in || r.bytes_out != p.bytes_out) return "bytes differ";
  if (r.packets_in != p.packets_in || r.packets_out != p.packets_out) return "packets differ";
  if (r.tcp_ports_total != p.tcp_ports_total || !list(r.tcp_ports, p.tcp_ports)) return "TCP ports differ";
  if (r.udp_ports_total != p.udp_ports_total || !list(r.udp_ports, p.udp_ports)) return "UDP ports differ";
  if (r.connections_total != p.connections_total || !list(r.connections, p.connections)) return "connections differ";
  if (r.customs.size() + r.problem_count != p.customs.size() + p.problem_count) return "custom metrics are lost";
  for (const CustomMetricValue& taken : r.customs) {
    const fleet::CustomMetric& metric = table[taken.metric];
    const auto at = p.customs.find(metric.name);
    if (at == p.customs.end()) return "custom metric " + metric.name + " is no good value";
    if (taken_value(r, taken, metric.type) != as_taken(at->second, metric.type))
      return "custom metric " + metric.name + " differs";
  }
  const bool too_many_digits =
      std::any_of(r.problems.begin(), r.problems.end(), [](const CustomMetricProblem& problem) {
        return problem.reason.find("significant digits") != std::string::npos;
      });
  if (r.customs.size() != p.customs.size() && !too_many_digits) return "a good custom metric was not taken";
  return "";
}

// Reasons that the plain reader does not know.
inline bool is_stricter(std::string_view reason) {
  constexpr std::array<std::string_view, 3> ours = {"is nested deeper than", "is larger than",
                                                    "is a number out of range or malformed"};
  return std::any_of(ours.begin(), ours.end(),
                     [reason](std::string_view r) { return reason.find(r) != std::string_view::npos; });
}

}  // namespace fleetward::report::testing
