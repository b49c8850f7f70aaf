// Walking JSON member by member with simdjson: paths for reasons, repeats, depth, and reading to the end what nobody
// asks for. Internal to this library: only its .cpp files include it, since it brings simdjson with it.
//
// A walk belongs to one parser on one thread. The only memory that it keeps is the list of unknown keys of open
// objects.
#pragma once

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "core/text.hpp"
#include "report/parser.hpp"

namespace fleetward::report {

using simdjson::ondemand::json_type;

struct FieldName {
  std::string_view long_name, short_name;
};

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

// Every read_…() returns false once a reason is set; nothing of the payload is read after that.
struct JsonWalk {
  using Value = simdjson::ondemand::value;

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

  std::vector<std::string_view> keys;  // of the open objects that no rule knows: looked through for repeats
  std::array<PathStep, depth_max + 2> path;
  std::size_t depth = 0;
  std::string reason;
};

}  // namespace fleetward::report
