#include "json/json.hpp"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "core/text.hpp"

namespace fleetward::json {
namespace {

// Builds the value while refusing what nlohmann would let pass: depth without end and repeated keys.
class BoundedBuilder : public nlohmann::detail::json_sax_dom_parser<Value> {
  using Base = nlohmann::detail::json_sax_dom_parser<Value>;

 public:
  BoundedBuilder(Value& root, int depth_max) : Base(root, false), depth_max_(depth_max) {}

  bool start_object(std::size_t n) {
    keys_.emplace_back();
    return enter() && Base::start_object(n);
  }
  bool end_object() {
    keys_.pop_back();
    --depth_;
    return Base::end_object();
  }
  bool start_array(std::size_t n) { return enter() && Base::start_array(n); }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(std::string& name) {
    if (!keys_.back().insert(name).second) {
      problem_ = fmt::format("the key \"{}\" is there twice", printable(name, 64));
      return false;
    }
    return Base::key(name);
  }
  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception& e) {
    if (problem_.empty()) problem_ = fmt::format("not JSON at byte {}", position);
    return Base::parse_error(position, token, e);
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  bool enter() {
    if (++depth_ <= depth_max_) return true;
    problem_ = fmt::format("nested deeper than {}", depth_max_);
    return false;
  }
  int depth_ = 0;
  int depth_max_;
  std::vector<std::set<std::string>> keys_;
  std::string problem_;
};

}  // namespace

Result<Value> parse(std::string_view text, Limits limits) {
  if (text.size() > limits.bytes_max) {
    return Error(ErrorCode::resource_exhausted,
                 fmt::format("JSON of {} bytes is over the limit of {}", text.size(), limits.bytes_max));
  }
  // The library takes it for the end, and what stands behind it would go unread.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    return Error(ErrorCode::invalid_argument, fmt::format("not JSON at byte {}", nul + 1));
  }
  Value root;
  BoundedBuilder builder(root, limits.depth_max);
  const bool good = Value::sax_parse(text, &builder);
  if (!good || !builder.problem().empty()) {
    return Error(ErrorCode::invalid_argument, builder.problem().empty() ? "not JSON" : builder.problem());
  }
  return root;
}

std::string dump(const Value& value) { return value.dump(-1, ' ', false, Value::error_handler_t::replace); }
std::string dump_pretty(const Value& value) { return value.dump(2, ' ', false, Value::error_handler_t::replace); }

Reader::Reader(const Value& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object_.is_object()) problems_.push_back(fmt::format("{} is not an object", path_.empty() ? "it" : path_));
}

void Reader::problem(std::string_view key, std::string_view what) {
  problems_.push_back(fmt::format("{}{}{} {}", path_, path_.empty() ? "" : ".", key, what));
}

const Value* Reader::member(std::string_view key) {
  asked_.emplace_back(key);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Value* Reader::required(std::string_view key) {
  const Value* value = member(key);
  if (value == nullptr && object_.is_object()) problem(key, "is missing");
  return value;
}

namespace {

std::optional<std::string> text_of(Reader& r, std::string_view key, const Value& value, std::size_t min,
                                   std::size_t max) {
  if (!value.is_string()) {
    r.problem(key, "is not a string");
    return std::nullopt;
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() < min || text.size() > max) {
    r.problem(key, fmt::format("has {} bytes, allowed are {} to {}", text.size(), min, max));
    return std::nullopt;
  }
  return text;
}

std::optional<std::int64_t> integer_of(Reader& r, std::string_view key, const Value& value, std::int64_t min,
                                       std::int64_t max) {
  const bool fits =
      value.is_number_integer() &&
      !(value.is_number_unsigned() &&
        value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits) {
    r.problem(key, "is not an integer");
    return std::nullopt;
  }
  const auto n = value.get<std::int64_t>();
  if (n < min || n > max) {
    r.problem(key, fmt::format("{} should be in range [{},{}]", n, min, max));
    return std::nullopt;
  }
  return n;
}

}  // namespace

std::string Reader::text(std::string_view key, std::size_t bytes_min, std::size_t bytes_max) {
  const Value* value = required(key);
  return value == nullptr ? std::string() : text_of(*this, key, *value, bytes_min, bytes_max).value_or("");
}

std::string Reader::text_or(std::string_view key, std::string other, std::size_t bytes_max) {
  return optional_text(key, bytes_max).value_or(std::move(other));
}

std::optional<std::string> Reader::optional_text(std::string_view key, std::size_t bytes_max) {
  const Value* value = member(key);
  return value == nullptr ? std::nullopt : text_of(*this, key, *value, 0, bytes_max);
}

std::int64_t Reader::integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const Value* value = required(key);
  return value == nullptr ? min : integer_of(*this, key, *value, min, max).value_or(min);
}

std::int64_t Reader::integer_or(std::string_view key, std::int64_t other, std::int64_t min, std::int64_t max) {
  return optional_integer(key, min, max).value_or(other);
}

std::optional<std::int64_t> Reader::optional_integer(std::string_view key, std::int64_t min, std::int64_t max) {
  const Value* value = member(key);
  return value == nullptr ? std::nullopt : integer_of(*this, key, *value, min, max);
}

double Reader::number(std::string_view key) {
  const Value* value = required(key);
  if (value == nullptr) return 0;
  if (!value->is_number()) {
    problem(key, "is not a number");
    return 0;
  }
  return value->get<double>();
}

std::optional<double> Reader::optional_number(std::string_view key) {
  if (member(key) == nullptr) return std::nullopt;
  return number(key);
}

bool Reader::boolean_or(std::string_view key, bool other) { return optional_boolean(key).value_or(other); }

std::optional<bool> Reader::optional_boolean(std::string_view key) {
  const Value* value = member(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    problem(key, "is not true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::vector<std::string> Reader::texts_or_empty(std::string_view key, std::size_t count_max, std::size_t bytes_max) {
  std::vector<std::string> out;
  const Value* value = member(key);
  if (value == nullptr) return out;
  if (!value->is_array() || value->size() > count_max) {
    problem(key, fmt::format("is not a list of at most {} strings", count_max));
    return out;
  }
  for (const Value& item : *value) {
    if (auto text = text_of(*this, key, item, 0, bytes_max)) out.push_back(std::move(*text));
  }
  return out;
}

Instant Reader::instant_ms(std::string_view key) {
  constexpr std::int64_t year_10000_ms = 253'402'300'800'000;
  return instant_from_ms(integer(key, 0, year_10000_ms));
}

void Reader::refuse_unknown() {
  if (!object_.is_object()) return;
  for (const auto& [key, value] : object_.items()) {
    if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) problem(printable(key, 64), "is not known");
  }
}

Status Reader::finish() const {
  if (problems_.empty()) return {};
  return Error(ErrorCode::invalid_argument, fmt::format("{}", fmt::join(problems_, "; ")));
}

}  // namespace fleetward::json
