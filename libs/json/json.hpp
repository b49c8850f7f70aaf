// JSON of the control plane: nlohmann's value type, a bounded reader, and typed access that says what is wrong where.
//
// Telemetry does not come through here (libs/report reads it). Implicit conversions are off.
#pragma once

#include <nlohmann/json.hpp>

#include "core/result.hpp"
#include "core/time.hpp"

namespace fleetward::json {

using Value = nlohmann::json;

struct Limits {
  std::size_t bytes_max = 1 << 20;
  int depth_max = 32;
};

// RFC 8259, strict: valid UTF-8, no duplicate keys, no trailing text, within the limits.
Result<Value> parse(std::string_view text, Limits limits = {});

// Compact text. Text that is not UTF-8 is replaced, never thrown over.
std::string dump(const Value& value);
std::string dump_pretty(const Value& value);

// Reads the members of one object and collects every problem, each with its path, so that one answer tells all.
//
//   Reader r(value, "behavior");
//   b.name = r.text("name", 1, 128);
//   b.suppress = r.boolean_or("suppressAlerts", false);
//   if (auto s = r.finish(); !s) return s.error();
//
// A missing or ill-typed required member gives a default value and one problem.
class Reader {
 public:
  Reader(const Value& object, std::string path);

  std::string text(std::string_view key, std::size_t bytes_min = 0, std::size_t bytes_max = 4096);
  std::string text_or(std::string_view key, std::string other, std::size_t bytes_max = 4096);
  std::optional<std::string> optional_text(std::string_view key, std::size_t bytes_max = 4096);
  std::int64_t integer(std::string_view key, std::int64_t min, std::int64_t max);
  std::int64_t integer_or(std::string_view key, std::int64_t other, std::int64_t min, std::int64_t max);
  std::optional<std::int64_t> optional_integer(std::string_view key, std::int64_t min, std::int64_t max);
  double number(std::string_view key);
  std::optional<double> optional_number(std::string_view key);
  bool boolean_or(std::string_view key, bool other);
  std::optional<bool> optional_boolean(std::string_view key);
  std::vector<std::string> texts_or_empty(std::string_view key, std::size_t count_max = 1000,
                                          std::size_t bytes_max = 4096);
  Instant instant_ms(std::string_view key);  // integer milliseconds since the epoch
  // The member itself, nullptr when it is missing or null.
  const Value* member(std::string_view key);
  const Value* required(std::string_view key);

  void problem(std::string_view key, std::string_view what);
  // Also complains of members that were never asked for.
  void refuse_unknown();
  // Good, or one invalid_argument that lists all problems.
  [[nodiscard]] Status finish() const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const Value& object_;
  std::string path_;
  std::vector<std::string> problems_;
  std::vector<std::string> asked_;
};

}  // namespace fleetward::json
