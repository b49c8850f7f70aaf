#include "report/parser.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "report/custom_value.hpp"

namespace fleetward::report {
namespace {

using simdjson::ondemand::json_type;

struct FieldName {
  std::string_view long_name, short_name;
};
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
constexpr double exact_integer_max = 9007199254740992.0;  // 2^53

template <std::size_t N>
int index_of([[maybe_unused]] const std::array<FieldName, N>& fields, std::string_view key) {
  // The first character tells nearly all names apart: a comparison is called for little more than the name that it is.
  const auto is = [key](std::string_view name) { return !name.empty() && key.front() == name.front() && key == name; };
  if (key.empty()) return -1;
  for (std::size_t i = 0; i < N; ++i) {
    if (is(fields[i].long_name) || is(fields[i].short_name)) return static_cast<int>(i);
  }
  return -1;
}

// Where the walk is, for reasons: a member's name, or an element's number.
struct PathStep {
  std::string_view name;
  std::size_t index = 0;
};

}  // namespace

// The walk. Every read_…() returns false once a reason is set; nothing of the payload is read after that.
struct ReportParser::State {
  using Value = simdjson::ondemand::value;

  simdjson::ondemand::parser parser;
  std::vector<char> buffer;
  Report report;
  std::optional<std::int64_t> report_id;
  const CustomMetricTable* customs = nullptr;
  std::vector<std::string_view> keys;  // of the open objects that no rule knows: looked through for repeats
  std::array<PathStep, depth_max + 2> path;
  std::size_t depth = 0;
  std::string reason;

  bool refuse(std::string_view what) {
    if (!reason.empty()) return false;
    std::string where;
    for (std::size_t i = 0; i < depth; ++i) {
      if (path[i].name.data() == nullptr) {
        where += fmt::format("[{}]", path[i].index);
      } else {
        where += (where.empty() ? "" : ".") + printable(path[i].name, 64);
      }
    }
    reason = where.empty() ? fmt::format("report {}", what) : fmt::format("{} {}", where, what);
    return false;
  }

  bool refuse_syntax(simdjson::error_code error) {
    switch (error) {
      case simdjson::UTF8_ERROR:
        return refuse("is not UTF-8");
      case simdjson::NUMBER_ERROR:
      case simdjson::NUMBER_OUT_OF_RANGE:
        return refuse("is a number out of range or malformed");
      case simdjson::DEPTH_ERROR:
        return refuse("is nested too deep");
      case simdjson::CAPACITY:
      case simdjson::MEMALLOC:
        return refuse("is too large");
      default:
        return refuse("is not well-formed JSON");
    }
  }

  bool enter(PathStep step) {
    if (depth >= static_cast<std::size_t>(depth_max)) return refuse(fmt::format("is nested deeper than {}", depth_max));
    path[depth++] = step;
    return true;
  }
  void leave() { --depth; }

  // The key without escapes. Keys rarely have any: the plain ones are taken as they stand in the buffer.
  bool read_key(simdjson::ondemand::field& field, std::string_view& out) {
    const char* raw = field.key().raw();
    const char* end = raw;
    while (*end != '"' && *end != '\\') ++end;
    if (*end == '"') {
      out = {raw, static_cast<std::size_t>(end - raw)};
      return true;
    }
    if (const auto error = field.unescaped_key().get(out)) return refuse_syntax(error);
    return true;
  }

  bool refuse_repeats(std::size_t scope) {
    const auto first = keys.begin() + static_cast<std::ptrdiff_t>(scope);
    if (keys.size() - scope > 1) {
      std::sort(first, keys.end());
      const auto twice = std::adjacent_find(first, keys.end());
      if (twice != keys.end()) return refuse(fmt::format("has the member '{}' twice", printable(*twice, 64)));
    }
    keys.erase(first, keys.end());
    return true;
  }

  template <std::size_t N, class Handler>
  bool walk_members(simdjson::ondemand::object object, const std::array<FieldName, N>& fields, Handler handler) {
    unsigned seen = 0;
    const std::size_t scope = keys.size();
    for (auto item : object) {
      simdjson::ondemand::field field;
      if (const auto error = std::move(item).get(field)) return refuse_syntax(error);
      std::string_view key;
      if (!read_key(field, key)) return false;
      const int which = index_of(fields, key);
      if (!enter({which < 0 ? key : fields[static_cast<std::size_t>(which)].long_name})) return false;
      Value value = field.value();
      if (which < 0) {
        keys.push_back(key);
        if (!skip(value)) return false;
      } else {
        if ((seen & 1U << which) != 0) return refuse("is there twice");
        seen |= 1U << which;
        if (!handler(which, value)) return false;
      }
      leave();
    }
    return refuse_repeats(scope);
  }

  // Null counts as not there: `present` says so and the value is done with.
  bool read_presence(Value& value, bool& present) {
    json_type type{};
    if (const auto error = value.type().get(type)) return refuse_syntax(error);
    present = type != json_type::null;
    if (present) return true;
    bool is_null = false;
    if (const auto error = value.is_null().get(is_null); error || !is_null) return refuse("is not well-formed JSON");
    return true;
  }

  template <std::size_t N, class Handler>
  bool walk_object(Value& value, const std::array<FieldName, N>& fields, Handler handler) {
    simdjson::ondemand::object object;
    if (const auto error = value.get_object().get(object)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not an object") : refuse_syntax(error);
    }
    return walk_members(object, fields, handler);
  }

  template <class Handler>
  bool walk_list(Value& value, Handler handler) {
    simdjson::ondemand::array list;
    if (const auto error = value.get_array().get(list)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not a list") : refuse_syntax(error);
    }
    std::size_t index = 0;
    for (auto item : list) {
      Value element;
      if (const auto error = std::move(item).get(element)) return refuse_syntax(error);
      if (!enter({{}, index++}) || !handler(element)) return false;
      leave();
    }
    return true;
  }

  // Reads what no rule asks for, to its end: nothing unread is taken.
  bool skip(Value& value) {
    json_type type{};
    if (const auto error = value.type().get(type)) return refuse_syntax(error);
    simdjson::error_code error = simdjson::SUCCESS;
    switch (type) {
      case json_type::object: {
        constexpr std::array<FieldName, 0> none{};
        return walk_object(value, none, [](int, Value&) { return true; });
      }
      case json_type::array:
        return walk_list(value, [this](Value& element) { return skip(element); });
      case json_type::number:
        error = value.get_double().error();
        break;
      case json_type::string:
        error = value.get_string().error();
        break;
      case json_type::boolean:
        error = value.get_bool().error();
        break;
      case json_type::null: {
        bool present = false;
        return read_presence(value, present);
      }
    }
    return error ? refuse_syntax(error) : true;
  }

  bool read_text(Value& value, std::string_view& out) {
    if (const auto error = value.get_string().get(out)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not a string") : refuse_syntax(error);
    }
    return true;
  }

  // A whole number, also one written as a float ("3.0"): agents do.
  bool read_integer(Value& value, std::int64_t min, std::int64_t max, std::int64_t& out) {
    json_type type{};
    if (const auto error = value.type().get(type)) return refuse_syntax(error);
    if (type != json_type::number) return refuse("is not a number");
    simdjson::ondemand::number_type kind{};
    if (const auto error = value.get_number_type().get(kind)) return refuse_syntax(error);
    if (kind == simdjson::ondemand::number_type::unsigned_integer) return refuse(fmt::format("is above {}", max));
    if (kind == simdjson::ondemand::number_type::signed_integer) {
      if (const auto error = value.get_int64().get(out)) return refuse_syntax(error);
    } else {
      // Not by get_number(): of this version it loses the value of floats with more than 19 digits.
      double d = 0;
      if (const auto error = value.get_double().get(d)) return refuse_syntax(error);
      if (std::abs(d) > exact_integer_max || d != std::floor(d)) return refuse("is not a whole number");
      out = static_cast<std::int64_t>(d);
    }
    if (out < min) return refuse(fmt::format("is below {}", min));
    if (out > max) return refuse(fmt::format("is above {}", max));
    return true;
  }

  bool read_counter(Value& value, std::optional<std::int64_t>& out) {
    bool present = false;
    if (!read_presence(value, present) || !present) return reason.empty();
    std::int64_t n = 0;
    if (!read_integer(value, 0, std::numeric_limits<std::int64_t>::max(), n)) return false;
    out = n;
    return true;
  }

  // A port as number or as text: the C agent writes text.
  bool read_port(Value& value, std::uint16_t min, std::uint16_t& out) {
    json_type type{};
    if (const auto error = value.type().get(type)) return refuse_syntax(error);
    if (type != json_type::string) {
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
    if (!read_presence(value, present) || !present) return reason.empty();
    std::string_view text;
    return read_text(value, text);
  }

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
