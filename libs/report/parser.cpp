#include "report/parser.hpp"

#include <cstring>

#include "report/custom_value.hpp"
#include "report/json_walk.hpp"

namespace fleetward::report {
namespace {

constexpr std::array<FieldName, 3> root_fields = {{{"header", "hed"}, {"metrics", "met"}, {"custom_metrics", "cmet"}}};
constexpr std::array<FieldName, 2> header_fields = {{{"report_id", "rid"}, {"version", "v"}}};
constexpr std::array<FieldName, 4> metric_fields = {
    {{"tcp_connections", "tc"}, {"listening_tcp_ports", "tp"}, {"listening_udp_ports", "up"}, {"network_stats", "ns"}}};
constexpr std::array<FieldName, 1> tcp_connections_fields = {{{"established_connections", "ec"}}};
constexpr std::array<FieldName, 2> established_fields = {{{"connections", "cs"}, {"total", "t"}}};
constexpr std::array<FieldName, 3> connection_fields = {
    {{"remote_addr", "rad"}, {"local_port", "lp"}, {"local_interface", "li"}}};
constexpr std::array<FieldName, 2> ports_fields = {{{"ports", "pts"}, {"total", "t"}}};
constexpr std::array<FieldName, 2> port_fields = {{{"port", "pt"}, {"interface", "if"}}};
constexpr std::array<FieldName, 4> network_fields = {
    {{"bytes_in", "bi"}, {"bytes_out", "bo"}, {"packets_in", "pi"}, {"packets_out", "po"}}};
// These have no short names.
constexpr std::array<FieldName, 4> custom_fields = {
    {{"number", ""}, {"number_list", ""}, {"string_list", ""}, {"ip_list", ""}}};
constexpr std::array<fleet::CustomMetricType, 4> custom_field_types = {
    fleet::CustomMetricType::number, fleet::CustomMetricType::number_list, fleet::CustomMetricType::string_list,
    fleet::CustomMetricType::ip_address_list};

}  // namespace

// The walk over a report.
struct ReportParser::State : JsonWalk {
  simdjson::ondemand::parser parser;
  std::vector<char> buffer;
  Report report;
  std::optional<std::int64_t> report_id;
  const CustomMetricTable* customs = nullptr;

  bool read_header(Value& value) {
    bool has_version = false;
    const bool walked = walk_object(value, header_fields, [&](int which, Value& v) {
      if (which == 0) {
        std::int64_t id = 0;
        if (!read_integer(v, 1, std::numeric_limits<std::int64_t>::max(), id)) return false;
        report_id = id;
        return true;
      }
      std::string_view text;
      if (!read_text(v, text)) return false;
      if (!is_version(text)) return refuse("is not a version that is known here (1.N)");
      report.version = text;
      has_version = true;
      return true;
    });
    if (!walked) return false;
    if (!report_id) return refuse("has no report_id");
    if (!has_version) return refuse("has no version");
    report.report_id = *report_id;
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
    if (!read_presence(value, present) || !present) return reason.empty();
    return walk_object(value, ports_fields, [&](int which, Value& v) {
      if (which == 1) return read_counter(v, total);
      if (!read_presence(v, ports.present) || !ports.present) return reason.empty();
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
        if (!read_presence(v, present) || !present) return reason.empty();
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
    report.connections.items.push_back(connection);
    return true;
  }

  bool read_connections(Value& value) {
    bool present = false;
    if (!read_presence(value, present) || !present) return reason.empty();
    return walk_object(value, tcp_connections_fields, [&](int, Value& established) {
      bool there = false;
      if (!read_presence(established, there) || !there) return reason.empty();
      return walk_object(established, established_fields, [&](int which, Value& v) {
        if (which == 1) return read_counter(v, report.connections_total);
        if (!read_presence(v, report.connections.present) || !report.connections.present) return reason.empty();
        return walk_list(v, [&](Value& element) { return read_connection(element); });
      });
    });
  }

  bool read_network(Value& value) {
    bool present = false;
    if (!read_presence(value, present) || !present) return reason.empty();
    const std::array<std::optional<std::int64_t>*, 4> out = {&report.bytes_in, &report.bytes_out, &report.packets_in,
                                                             &report.packets_out};
    return walk_object(value, network_fields,
                       [&](int which, Value& v) { return read_counter(v, *out[static_cast<std::size_t>(which)]); });
  }

  bool read_metrics(Value& value) {
    return walk_object(value, metric_fields, [&](int which, Value& v) {
      switch (which) {
        case 0:
          return read_connections(v);
        case 1:
          return read_ports(v, report.tcp_ports, report.tcp_ports_total);
        case 2:
          return read_ports(v, report.udp_ports, report.udp_ports_total);
        default:
          return read_network(v);
      }
    });
  }

  // One value of a list-typed custom metric; `problem` is set when it breaks the rules of its type.
  bool read_custom_element(Value& v, fleet::CustomMetricType type, std::string_view& problem) {
    json_type json{};
    if (const auto error = v.type().get(json)) return refuse_syntax(error);
    const bool numeric = type == fleet::CustomMetricType::number || type == fleet::CustomMetricType::number_list;
    if (!problem.empty() || json != (numeric ? json_type::number : json_type::string)) {
      if (problem.empty()) problem = numeric ? "is not a number" : "has an element that is not a string";
      return skip(v);
    }
    if (numeric) {
      const std::string_view token = v.raw_json_token();
      double number = 0;
      if (const auto error = v.get_double().get(number)) return refuse_syntax(error);
      problem = number_problem(token);
      report.numbers.push_back(number);
      return true;
    }
    std::string_view text;
    if (!read_text(v, text)) return false;
    if (type == fleet::CustomMetricType::string_list) {
      problem = string_problem(text);
      report.strings.push_back(text);
    } else if (const auto address = parse_ip(text)) {
      report.addresses.push_back(*address);
    } else {
      problem = "has an element that is not an IP address";
    }
    return true;
  }

  bool read_custom_member(Value& v, fleet::CustomMetricType type, std::string_view& problem) {
    if (type == fleet::CustomMetricType::number) return read_custom_element(v, type, problem);
    json_type json{};
    if (const auto error = v.type().get(json)) return refuse_syntax(error);
    if (json != json_type::array) {
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
      if (problem.empty() && (*customs)[*metric].type != type) problem = "is of another type than the metric";
      if (problem.empty() && members > 1) problem = "has more than one value";
      return problem.empty() ? read_custom_member(v, type, problem) : skip(v);
    });
    if (walked && problem.empty() && members == 0) problem = "has no value";
    return walked;
  }

  bool read_custom_metric(std::string_view name, Value& value) {
    json_type json{};
    if (const auto error = value.type().get(json)) return refuse_syntax(error);
    if (json == json_type::object) return refuse("is an object; it must be a list of exactly one object");

    const auto metric = customs->find(name);
    std::string_view problem = metric ? "" : "is not a custom metric that is defined";
    const std::size_t numbers = report.numbers.size();
    const std::size_t strings = report.strings.size();
    const std::size_t addresses = report.addresses.size();
    if (json != json_type::array) {
      if (problem.empty()) problem = "is not a list of exactly one object";
      if (!skip(value)) return false;
    } else {
      std::size_t elements = 0;
      const bool walked = walk_list(value, [&](Value& element) {
        json_type inner{};
        if (const auto error = element.type().get(inner)) return refuse_syntax(error);
        if (++elements > 1 && problem.empty()) problem = "is a list of more than one object";
        if (inner == json_type::object && problem.empty()) return read_custom_object(element, metric, problem);
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
    report.numbers.resize(numbers);
    report.strings.resize(strings);
    report.addresses.resize(addresses);
    if (report.problem_count++ < problems_max) {
      report.problems.push_back({std::string(name.substr(0, 128)), std::string(problem)});
    }
    return true;
  }

  void take_custom(std::size_t metric, std::size_t numbers, std::size_t strings, std::size_t addresses) {
    CustomMetricValue taken{metric, 0, 0, 0};
    switch ((*customs)[metric].type) {
      case fleet::CustomMetricType::number:
        taken.number = report.numbers.back();
        report.numbers.pop_back();
        break;
      case fleet::CustomMetricType::number_list:
        taken.first = numbers;
        taken.count = report.numbers.size() - numbers;
        break;
      case fleet::CustomMetricType::string_list:
        taken.first = strings;
        taken.count = report.strings.size() - strings;
        break;
      case fleet::CustomMetricType::ip_address_list:
        taken.first = addresses;
        taken.count = report.addresses.size() - addresses;
        break;
    }
    report.customs.push_back(taken);
  }

  bool read_custom_metrics(Value& value) {
    simdjson::ondemand::object object;
    if (const auto error = value.get_object().get(object)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not an object") : refuse_syntax(error);
    }
    const std::size_t scope = keys.size();
    for (auto item : object) {
      simdjson::ondemand::field field;
      if (const auto error = std::move(item).get(field)) return refuse_syntax(error);
      std::string_view key;
      if (!read_key(field, key)) return false;
      keys.push_back(key);
      Value metric = field.value();
      if (!enter({key}) || !read_custom_metric(key, metric)) return false;
      leave();
    }
    return refuse_repeats(scope);
  }

  bool read_root(simdjson::ondemand::document& document) {
    simdjson::ondemand::object root;
    if (const auto error = document.get_object().get(root)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not a JSON object") : refuse_syntax(error);
    }
    bool has_header = false;
    bool has_metrics = false;
    const bool walked = walk_members(root, root_fields, [&](int which, Value& value) {
      if (which == 0) return has_header = true, read_header(value);
      bool present = false;
      if (!read_presence(value, present) || !present) return reason.empty();
      has_metrics = true;
      return which == 1 ? read_metrics(value) : read_custom_metrics(value);
    });
    if (!walked) return false;
    // Out of bounds is how the library says that no token is left.
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) return refuse("has text after its end");
    if (!has_header) return refuse("has no header");
    return has_metrics || refuse("has neither metrics nor custom_metrics");
  }

  bool parse(ByteView payload) {
    report.clear();
    report_id.reset();
    reason.clear();
    keys.clear();
    depth = 0;
    if (payload.empty()) return refuse("is empty");
    if (payload.size() > payload_bytes_max) return refuse(fmt::format("is larger than {} bytes", payload_bytes_max));
    if (buffer.size() < payload.size() + simdjson::SIMDJSON_PADDING) {
      buffer.resize(payload.size() + simdjson::SIMDJSON_PADDING);
    }
    std::memcpy(buffer.data(), payload.data(), payload.size());
    std::memset(buffer.data() + payload.size(), 0, simdjson::SIMDJSON_PADDING);
    simdjson::ondemand::document document;
    if (const auto error = parser.iterate(buffer.data(), payload.size(), buffer.size()).get(document)) {
      return error == simdjson::EMPTY ? refuse("is empty") : refuse_syntax(error);
    }
    return read_root(document);
  }

  // For the reply to a payload that was refused before its header was reached: walks again, past what was wrong with a
  // value, as far as the JSON is well-formed.
  void look_for_report_id(std::size_t bytes) {
    if (bytes == 0 || bytes > payload_bytes_max) return;
    const std::string refused_for = std::exchange(reason, {});
    keys.clear();
    depth = 0;
    simdjson::ondemand::document document;
    simdjson::ondemand::object root;
    if (!parser.iterate(buffer.data(), bytes, buffer.size()).get(document) && !document.get_object().get(root)) {
      walk_members(root, root_fields, [&](int which, Value& value) {
        if (which != 0) return skip(value);
        return walk_object(value, header_fields, [&](int member, Value& v) {
          std::int64_t id = 0;
          if (member != 0) return skip(v);
          if (!read_integer(v, 1, std::numeric_limits<std::int64_t>::max(), id)) return false;
          report_id = id;
          return true;
        });
      });
    }
    reason = refused_for;
  }
};

ReportParser::ReportParser() : state_(std::make_unique<State>()) {}
ReportParser::~ReportParser() = default;

Result<const Report*> ReportParser::parse(ByteView payload, const CustomMetricTable& customs) {
  state_->customs = &customs;
  if (state_->parse(payload)) return &state_->report;
  if (!state_->report_id) state_->look_for_report_id(payload.size());
  return Error(ErrorCode::invalid_argument, state_->reason);
}

std::optional<std::int64_t> ReportParser::report_id() const { return state_->report_id; }

}  // namespace fleetward::report
