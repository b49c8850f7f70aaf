// Structured logs: an event name and fields, one line of JSON (or of logfmt-like text on a terminal) on stderr.
//
// Event names are snake_case and listed by their use; values are made printable, secrets are never passed in.
// Thread-safe. Until configure() is called, lines of level info and above go to stderr as text.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/result.hpp"

namespace fleetward::log {

enum class Level { debug, info, warn, error };
enum class Format { text, json };

// One field: text, number or boolean.
class Field {
 public:
  template <class T>
  Field(std::string_view name, const T& value) : name_(name) {
    if constexpr (std::is_same_v<T, bool>) {
      value_ = value ? "true" : "false";
      quoted_ = false;
    } else if constexpr (std::is_arithmetic_v<T>) {
      value_ = std::to_string(value);
      quoted_ = false;
    } else {
      value_ = std::string_view(value);
    }
  }
  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] const std::string& value() const { return value_; }
  [[nodiscard]] bool quoted() const { return quoted_; }

 private:
  std::string_view name_;
  std::string value_;
  bool quoted_ = true;
};

using Fields = std::initializer_list<Field>;

void configure(Level level, Format format);
// Lines go to `sink`, without their time, in place of stderr; empty: to stderr again. For tests, while nobody logs.
void set_sink(std::function<void(const std::string& line)> sink);
Result<Level> parse_level(std::string_view name);

void write(Level level, std::string_view event, Fields fields);
inline void debug(std::string_view event, Fields fields = {}) { write(Level::debug, event, fields); }
inline void info(std::string_view event, Fields fields = {}) { write(Level::info, event, fields); }
inline void warn(std::string_view event, Fields fields = {}) { write(Level::warn, event, fields); }
inline void error(std::string_view event, Fields fields = {}) { write(Level::error, event, fields); }

// The line without its time, as write() forms it: for tests.
std::string format_line(Format format, Level level, std::string_view event, Fields fields);

}  // namespace fleetward::log
