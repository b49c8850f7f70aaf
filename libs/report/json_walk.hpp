// Walking JSON with simdjson. Internal to this library: only parser.cpp includes it, since it brings simdjson with it.
//
// What no rule asks for is read to its end all the same: the library checks nothing that is not read.
#pragma once

#include <simdjson.h>

#include <cstring>

#include "report/custom_value.hpp"
#include "report/walk.hpp"

namespace fleetward::report {

struct JsonWalk : Walk {
  using Value = simdjson::ondemand::value;

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

  // The walk reads a copy: the library wants padding behind it. Bounded by payload_bytes_max.
  void load(ByteView payload) {
    if (buffer.size() < payload.size() + simdjson::SIMDJSON_PADDING) {
      buffer.resize(payload.size() + simdjson::SIMDJSON_PADDING);
    }
    std::memcpy(buffer.data(), payload.data(), payload.size());
    std::memset(buffer.data() + payload.size(), 0, simdjson::SIMDJSON_PADDING);
    bytes = payload.size();
  }

  template <std::size_t N, class Known, class Unknown>
  bool walk_root(const std::array<FieldName, N>& fields, Known known, Unknown unknown) {
    simdjson::ondemand::document document;
    if (const auto error = parser.iterate(buffer.data(), bytes, buffer.size()).get(document)) {
      return error == simdjson::EMPTY ? refuse("is empty") : refuse_syntax(error);
    }
    simdjson::ondemand::object root;
    if (const auto error = document.get_object().get(root)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not a JSON object") : refuse_syntax(error);
    }
    if (!walk_members(root, fields, known, unknown)) return false;
    // Out of bounds is how the library says that no token is left.
    return document.current_location().error() == simdjson::OUT_OF_BOUNDS || refuse("has text after its end");
  }

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

  template <std::size_t N, class Known, class Unknown>
  bool walk_members(simdjson::ondemand::object object, const std::array<FieldName, N>& fields, Known known,
                    Unknown unknown) {
    unsigned seen = 0;
    const std::size_t scope = keys.size();
    for (auto item : object) {
      simdjson::ondemand::field field;
      if (const auto error = std::move(item).get(field)) return refuse_syntax(error);
      std::string_view key;
      if (!read_key(field, key)) return false;
      Value value = field.value();
      const bool taken = take_member(
          key, fields, seen, [&](int which) { return known(which, value); }, [&] { return unknown(key, value); });
      if (!taken) return false;
    }
    return refuse_repeats(scope);
  }

  template <std::size_t N, class Known, class Unknown>
  bool walk_object(Value& value, const std::array<FieldName, N>& fields, Known known, Unknown unknown) {
    simdjson::ondemand::object object;
    if (const auto error = value.get_object().get(object)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not an object") : refuse_syntax(error);
    }
    return walk_members(object, fields, known, unknown);
  }

  template <class Element>
  bool walk_list(Value& value, Element take_element) {
    simdjson::ondemand::array list;
    if (const auto error = value.get_array().get(list)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not a list") : refuse_syntax(error);
    }
    std::size_t index = 0;
    for (auto item : list) {
      Value element;
      if (const auto error = std::move(item).get(element)) return refuse_syntax(error);
      if (!enter({{}, index++}) || !take_element(element)) return false;
      leave();
    }
    return true;
  }

  bool read_kind(Value& value, ValueKind& out) {
    simdjson::ondemand::json_type type{};
    if (const auto error = value.type().get(type)) return refuse_syntax(error);
    switch (type) {
      case simdjson::ondemand::json_type::object:
        out = ValueKind::object;
        break;
      case simdjson::ondemand::json_type::array:
        out = ValueKind::list;
        break;
      case simdjson::ondemand::json_type::number:
        out = ValueKind::number;
        break;
      case simdjson::ondemand::json_type::string:
        out = ValueKind::text;
        break;
      case simdjson::ondemand::json_type::boolean:
        out = ValueKind::boolean;
        break;
      case simdjson::ondemand::json_type::null:
        out = ValueKind::null;
        break;
    }
    return true;
  }

  // Null counts as not there: `present` says so and the value is done with.
  bool read_presence(Value& value, bool& present) {
    ValueKind kind{};
    if (!read_kind(value, kind)) return false;
    present = kind != ValueKind::null;
    if (present) return true;
    bool is_null = false;
    if (const auto error = value.is_null().get(is_null); error || !is_null) return refuse("is not well-formed JSON");
    return true;
  }

  bool skip(Value& value) {
    ValueKind kind{};
    if (!read_kind(value, kind)) return false;
    const auto skip_known = [](int, Value&) { return true; };
    const auto skip_member = [this](std::string_view, Value& v) { return skip(v); };
    bool present = false;
    simdjson::error_code error = simdjson::SUCCESS;
    switch (kind) {
      case ValueKind::object:
        return walk_object(value, no_fields, skip_known, skip_member);
      case ValueKind::list:
        return walk_list(value, [this](Value& element) { return skip(element); });
      case ValueKind::number:
        error = value.get_double().error();
        break;
      case ValueKind::text:
      case ValueKind::bytes:
        error = value.get_string().error();
        break;
      case ValueKind::boolean:
        error = value.get_bool().error();
        break;
      case ValueKind::null:
        return read_presence(value, present);
    }
    return error ? refuse_syntax(error) : true;
  }

  bool read_text(Value& value, std::string_view& out) {
    if (const auto error = value.get_string().get(out)) {
      return error == simdjson::INCORRECT_TYPE ? refuse("is not a string") : refuse_syntax(error);
    }
    return true;
  }

  // A few digits and nothing else, as nearly all numbers of a report are. The library is not asked: it would look at
  // them twice. It passes over a value that was not read.
  static bool read_digits(std::string_view token, std::int64_t& out) {
    constexpr std::size_t digits_max = 15;
    while (!token.empty() && is_space(token.back())) token.remove_suffix(1);
    if (token.empty() || token.size() > digits_max || (token.front() == '0' && token.size() > 1)) return false;
    std::int64_t n = 0;
    for (const char c : token) {
      if (c < '0' || c > '9') return false;
      n = n * 10 + (c - '0');
    }
    out = n;
    return true;
  }
  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

  // A whole number, also one written as a float ("3.0").
  bool read_integer(Value& value, std::int64_t min, std::int64_t max, std::int64_t& out) {
    if (read_digits(value.raw_json_token(), out)) return check_range(out, min, max);
    ValueKind type{};
    if (!read_kind(value, type)) return false;
    if (type != ValueKind::number) return refuse("is not a number");
    simdjson::ondemand::number_type kind{};
    if (const auto error = value.get_number_type().get(kind)) return refuse_syntax(error);
    if (kind == simdjson::ondemand::number_type::unsigned_integer) return refuse(fmt::format("is above {}", max));
    if (kind == simdjson::ondemand::number_type::signed_integer) {
      if (const auto error = value.get_int64().get(out)) return refuse_syntax(error);
    } else {
      // Not by get_number(): of this version it loses the value of floats with more than 19 digits.
      double d = 0;
      if (const auto error = value.get_double().get(d)) return refuse_syntax(error);
      if (!take_whole(d, out)) return false;
    }
    return check_range(out, min, max);
  }

  // A number and what is wrong with it as a custom metric's value.
  bool read_number(Value& value, double& out, std::string_view& problem) {
    const std::string_view token = value.raw_json_token();
    if (const auto error = value.get_double().get(out)) return refuse_syntax(error);
    problem = number_problem(token);
    return true;
  }

  simdjson::ondemand::parser parser;
  std::vector<char> buffer;
  std::size_t bytes = 0;
};

}  // namespace fleetward::report
