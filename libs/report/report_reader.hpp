// The rules for reports (reference section 1), once for every encoding: a reader over the walk of one of them.
//
// Internal to this library. Walk is JsonWalk or CborWalk (see walk.hpp). Belongs to one parser on one thread.
#pragma once

#include <charconv>

#include "report/custom_value.hpp"
#include "report/walk.hpp"

namespace fleetward::report {

inline constexpr std::array<FieldName, 3> root_fields = {
    {{"header", "hed"}, {"metrics", "met"}, {"custom_metrics", "cmet"}}};
inline constexpr std::array<FieldName, 2> header_fields = {{{"report_id", "rid"}, {"version", "v"}}};
inline constexpr std::array<FieldName, 4> metric_fields = {
    {{"tcp_connections", "tc"}, {"listening_tcp_ports", "tp"}, {"listening_udp_ports", "up"}, {"network_stats", "ns"}}};
inline constexpr std::array<FieldName, 1> tcp_connections_fields = {{{"established_connections", "ec"}}};
inline constexpr std::array<FieldName, 2> established_fields = {{{"connections", "cs"}, {"total", "t"}}};
inline constexpr std::array<FieldName, 3> connection_fields = {
    {{"remote_addr", "rad"}, {"local_port", "lp"}, {"local_interface", "li"}}};
inline constexpr std::array<FieldName, 2> ports_fields = {{{"ports", "pts"}, {"total", "t"}}};
inline constexpr std::array<FieldName, 2> port_fields = {{{"port", "pt"}, {"interface", "if"}}};
inline constexpr std::array<FieldName, 4> network_fields = {
    {{"bytes_in", "bi"}, {"bytes_out", "bo"}, {"packets_in", "pi"}, {"packets_out", "po"}}};
// These have no short names.
inline constexpr std::array<FieldName, 4> custom_fields = {
    {{"number", ""}, {"number_list", ""}, {"string_list", ""}, {"ip_list", ""}}};
inline constexpr std::array<fleet::CustomMetricType, 4> custom_field_types = {
    fleet::CustomMetricType::number, fleet::CustomMetricType::number_list, fleet::CustomMetricType::string_list,
    fleet::CustomMetricType::ip_address_list};

// What is being filled.
struct ReadingReport {
  Report report;
  std::optional<std::int64_t> report_id;
  const CustomMetricTable* customs = nullptr;
};

template <class Walk>
class ReportReader : Walk {
  using typename Walk::Value;

 public:
  explicit ReportReader(ReadingReport& out) : out_(out), report_(out.report) {}

  // False when the payload is refused; then why() says so.
  bool read(ByteView payload) {
    Walk::start();
    report_.clear();
    out_.report_id.reset();
    if (payload.empty()) return refuse("is empty");
    if (payload.size() > payload_bytes_max) return refuse(fmt::format("is larger than {} bytes", payload_bytes_max));
    Walk::load(payload);
    if (read_root()) return true;
    if (!out_.report_id) look_for_report_id();
    return false;
  }
  [[nodiscard]] const std::string& why() const { return Walk::reason; }

 private:
  using Walk::read_integer;
  using Walk::read_kind;
  using Walk::read_number;
  using Walk::read_presence;
  using Walk::read_text;
  using Walk::refuse;
  using Walk::skip;
  using Walk::walk_list;

  // Members that no rule asks for are read to their end.
  template <std::size_t N, class Known>
  bool walk_object(Value& value, const std::array<FieldName, N>& fields, Known known) {
    return Walk::walk_object(value, fields, known, [this](std::string_view, Value& v) { return skip(v); });
  }

  bool read_root() {
    bool has_header = false;
    bool has_metrics = false;
    const auto known = [&](int which, Value& value) {
      if (which == 0) return has_header = true, read_header(value);
      bool present = false;
      if (!read_presence(value, present) || !present) return is_good();
      has_metrics = true;
      return which == 1 ? read_metrics(value) : read_custom_metrics(value);
    };
    if (!Walk::walk_root(root_fields, known, [this](std::string_view, Value& v) { return skip(v); })) return false;
    if (!has_header) return refuse("has no header");
    return has_metrics || refuse("has neither metrics nor custom_metrics");
  }

  // For the reply to a payload that was refused before its header was reached: walks again, past what was wrong with a
  // value, as far as the payload is well-formed.
  void look_for_report_id() {
    const std::string refused_for = Walk::reason;
    Walk::start();
    const auto skip_member = [this](std::string_view, Value& v) { return skip(v); };
    const auto known = [&](int which, Value& value) {
      if (which != 0) return skip(value);
      return walk_object(value, header_fields,
                         [this](int member, Value& v) { return member == 0 ? read_report_id(v) : skip(v); });
    };
    Walk::walk_root(root_fields, known, skip_member);
    Walk::reason = refused_for;
  }

  [[nodiscard]] bool is_good() const { return Walk::reason.empty(); }

  bool read_report_id(Value& value) {
    std::int64_t id = 0;
    if (!read_integer(value, 1, std::numeric_limits<std::int64_t>::max(), id)) return false;
    out_.report_id = id;
    return true;
  }

  bool read_counter(Value& value, std::optional<std::int64_t>& out) {
    bool present = false;
    if (!read_presence(value, present) || !present) return is_good();
    std::int64_t n = 0;
    if (!read_integer(value, 0, std::numeric_limits<std::int64_t>::max(), n)) return false;
    out = n;
    return true;
  }

  // A port as number or as text: the C agent writes text.
  bool read_port(Value& value, std::uint16_t min, std::uint16_t& out) {
    ValueKind kind{};
    if (!read_kind(value, kind)) return false;
    if (kind != ValueKind::text) {
      std::int64_t n = 0;
      if (!read_integer(value, min, 65535, n)) return false;
      out = static_cast<std::uint16_t>(n);
      return true;
    }
    std::string_view text;
    if (!read_text(value, text)) return false;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end != text.data() + text.size() || out < min) return refuse("is not a port");
    return true;
  }

  bool read_optional_text(Value& value) {
    bool present = false;
    if (!read_presence(value, present) || !present) return is_good();
    std::string_view text;
    return read_text(value, text);
  }

  bool read_header(Value& value) {
    bool has_version = false;
    const bool walked = walk_object(value, header_fields, [&](int which, Value& v) {
      if (which == 0) return read_report_id(v);
      std::string_view text;
      if (!read_text(v, text)) return false;
      if (!is_version(text)) return refuse("is not a version that is known here (1.N)");
      report_.version = text;
      has_version = true;
      return true;
    });
    if (!walked) return false;
    if (!out_.report_id) return refuse("has no report_id");
    if (!has_version) return refuse("has no version");
    report_.report_id = *out_.report_id;
    return true;
  }

  static bool is_version(std::string_view text) {
    if (!text.starts_with("1.") || text.size() < 3 || text.size() > 8) return false;
    return std::all_of(text.begin() + 2, text.end(), [](char c) { return c >= '0' && c <= '9'; });
  }

  bool read_port_entry(Value& value, ReportList<std::uint16_t>& ports) {
    bool has_port = false;
    const bool walked = walk_object(value, port_fields, [&](int which, Value& v) {
      if (which == 1) return read_optional_text(v);
      std::uint16_t port = 0;
      if (!read_port(v, 1, port)) return false;
      ports.items.push_back(port);
      has_port = true;
      return true;
    });
    return walked && (has_port || refuse("has no port"));
  }

  bool read_ports(Value& value, ReportList<std::uint16_t>& ports, std::optional<std::int64_t>& total) {
    bool present = false;
    if (!read_presence(value, present) || !present) return is_good();
    return walk_object(value, ports_fields, [&](int which, Value& v) {
      if (which == 1) return read_counter(v, total);
      if (!read_presence(v, ports.present) || !ports.present) return is_good();
      return walk_list(v, [&](Value& element) { return read_port_entry(element, ports); });
    });
  }

  bool read_connection(Value& value) {
    Connection connection;
    bool has_remote = false;
    const bool walked = walk_object(value, connection_fields, [&](int which, Value& v) {
      if (which == 2) return read_optional_text(v);
      if (which == 1) {
        bool present = false;
        if (!read_presence(v, present) || !present) return is_good();
        std::uint16_t port = 0;
        if (!read_port(v, 0, port)) return false;
        connection.local_port = port;
        return true;
      }
      std::string_view text;
      if (!read_text(v, text)) return false;
      const auto remote = parse_endpoint(text);
      if (!remote) return refuse("is not an address with a port");
      connection.remote = *remote;
      has_remote = true;
      return true;
    });
    if (!walked) return false;
    if (!has_remote) return refuse("has no remote_addr");
    report_.connections.items.push_back(connection);
    return true;
  }

  bool read_connections(Value& value) {
    bool present = false;
    if (!read_presence(value, present) || !present) return is_good();
    return walk_object(value, tcp_connections_fields, [&](int, Value& established) {
      bool there = false;
      if (!read_presence(established, there) || !there) return is_good();
      return walk_object(established, established_fields, [&](int which, Value& v) {
        if (which == 1) return read_counter(v, report_.connections_total);
        if (!read_presence(v, report_.connections.present) || !report_.connections.present) return is_good();
        return walk_list(v, [&](Value& element) { return read_connection(element); });
      });
    });
  }

  bool read_network(Value& value) {
    bool present = false;
    if (!read_presence(value, present) || !present) return is_good();
    const std::array<std::optional<std::int64_t>*, 4> out = {&report_.bytes_in, &report_.bytes_out, &report_.packets_in,
                                                             &report_.packets_out};
    return walk_object(value, network_fields,
                       [&](int which, Value& v) { return read_counter(v, *out[static_cast<std::size_t>(which)]); });
  }

  bool read_metrics(Value& value) {
    return walk_object(value, metric_fields, [&](int which, Value& v) {
      switch (which) {
        case 0:
          return read_connections(v);
        case 1:
          return read_ports(v, report_.tcp_ports, report_.tcp_ports_total);
        case 2:
          return read_ports(v, report_.udp_ports, report_.udp_ports_total);
        default:
          return read_network(v);
      }
    });
  }

  // One value of a list-typed custom metric; `problem` is set when it breaks the rules of its type.
  bool read_custom_element(Value& v, fleet::CustomMetricType type, std::string_view& problem) {
    ValueKind kind{};
    if (!read_kind(v, kind)) return false;
    const bool numeric = type == fleet::CustomMetricType::number || type == fleet::CustomMetricType::number_list;
    if (!problem.empty() || kind != (numeric ? ValueKind::number : ValueKind::text)) {
      if (problem.empty()) problem = numeric ? "is not a number" : "has an element that is not a string";
      return skip(v);
    }
    if (numeric) {
      double number = 0;
      if (!read_number(v, number, problem)) return false;
      report_.numbers.push_back(number);
      return true;
    }
    std::string_view text;
    if (!read_text(v, text)) return false;
    if (type == fleet::CustomMetricType::string_list) {
      problem = string_problem(text);
      report_.strings.push_back(text);
    } else if (const auto address = parse_ip(text)) {
      report_.addresses.push_back(*address);
    } else {
      problem = "has an element that is not an IP address";
    }
    return true;
  }

  bool read_custom_member(Value& v, fleet::CustomMetricType type, std::string_view& problem) {
    if (type == fleet::CustomMetricType::number) return read_custom_element(v, type, problem);
    ValueKind kind{};
    if (!read_kind(v, kind)) return false;
    if (kind != ValueKind::list) {
      problem = "is not a list";
      return skip(v);
    }
    return walk_list(v, [&](Value& element) { return read_custom_element(element, type, problem); });
  }

  bool read_custom_object(Value& value, std::optional<std::size_t> metric, std::string_view& problem) {
    int members = 0;
    const bool walked = walk_object(value, custom_fields, [&](int which, Value& v) {
      ++members;
      const auto type = custom_field_types[static_cast<std::size_t>(which)];
      if (problem.empty() && (*out_.customs)[*metric].type != type) problem = "is of another type than the metric";
      if (problem.empty() && members > 1) problem = "has more than one value";
      return problem.empty() ? read_custom_member(v, type, problem) : skip(v);
    });
    if (walked && problem.empty() && members == 0) problem = "has no value";
    return walked;
  }

  bool read_custom_metric(std::string_view name, Value& value) {
    ValueKind kind{};
    if (!read_kind(value, kind)) return false;
    if (kind == ValueKind::object) return refuse("is an object; it must be a list of exactly one object");

    const auto metric = out_.customs->find(name);
    std::string_view problem = metric ? "" : "is not a custom metric that is defined";
    const std::size_t numbers = report_.numbers.size();
    const std::size_t strings = report_.strings.size();
    const std::size_t addresses = report_.addresses.size();
    if (kind != ValueKind::list) {
      if (problem.empty()) problem = "is not a list of exactly one object";
      if (!skip(value)) return false;
    } else {
      std::size_t elements = 0;
      const bool walked = walk_list(value, [&](Value& element) {
        ValueKind inner{};
        if (!read_kind(element, inner)) return false;
        if (++elements > 1 && problem.empty()) problem = "is a list of more than one object";
        if (inner == ValueKind::object && problem.empty()) return read_custom_object(element, metric, problem);
        if (problem.empty()) problem = "is not a list of exactly one object";
        return skip(element);
      });
      if (!walked) return false;
      if (elements == 0 && problem.empty()) problem = "is an empty list; it must hold exactly one object";
    }
    if (problem.empty()) {
      take_custom(*metric, numbers, strings, addresses);
      return true;
    }
    report_.numbers.resize(numbers);
    report_.strings.resize(strings);
    report_.addresses.resize(addresses);
    if (report_.problem_count++ < problems_max) {
      report_.problems.push_back({std::string(name.substr(0, 128)), std::string(problem)});
    }
    return true;
  }

  void take_custom(std::size_t metric, std::size_t numbers, std::size_t strings, std::size_t addresses) {
    CustomMetricValue taken{metric, 0, 0, 0};
    switch ((*out_.customs)[metric].type) {
      case fleet::CustomMetricType::number:
        taken.number = report_.numbers.back();
        report_.numbers.pop_back();
        break;
      case fleet::CustomMetricType::number_list:
        taken.first = numbers;
        taken.count = report_.numbers.size() - numbers;
        break;
      case fleet::CustomMetricType::string_list:
        taken.first = strings;
        taken.count = report_.strings.size() - strings;
        break;
      case fleet::CustomMetricType::ip_address_list:
        taken.first = addresses;
        taken.count = report_.addresses.size() - addresses;
        break;
    }
    report_.customs.push_back(taken);
  }

  bool read_custom_metrics(Value& value) {
    return Walk::walk_object(
        value, no_fields, [](int, Value&) { return true; },
        [this](std::string_view name, Value& metric) { return read_custom_metric(name, metric); });
  }

  ReadingReport& out_;
  Report& report_;  // of out_
};

}  // namespace fleetward::report
