#include "config/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>
#include <vector>

#include "core/text.hpp"

namespace fleetward::config {
namespace {

// Leaves yaml-cpp's parser from inside an event; never leaves this file.
struct Refusal {
  YAML::Mark mark;
  std::string what;
};

// yaml-cpp 0.7 takes a quote that is never closed as ending with the file. A comment put behind the text shows it: only
// an open quote can swallow it.
constexpr std::string_view end_comment = "# the end of this text";

Error error_at(const YAML::Mark& mark, std::string_view what) {
  return {ErrorCode::invalid_argument, fmt::format("line {}, column {}: {}", mark.line + 1, mark.column + 1, what)};
}

std::string pointer_token(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Integer of the core schema; none when it is not one or does not fit in 64 bits.
std::optional<json::Value> as_integer(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+') || digits.starts_with('-')) digits.remove_prefix(1);
  if (!is_digits(digits)) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t signed_value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), signed_value);
  if (code == std::errc() && end == text.data() + text.size()) return json::Value(signed_value);
  std::uint64_t unsigned_value = 0;
  auto [unsigned_end, unsigned_code] = std::from_chars(text.data(), text.data() + text.size(), unsigned_value);
  if (unsigned_code == std::errc() && unsigned_end == text.data() + text.size()) return json::Value(unsigned_value);
  return std::nullopt;
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
std::optional<json::Value> as_float(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('+') || rest.starts_with('-')) rest.remove_prefix(1);
  if (rest.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
  if (rest.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return json::Value(value);
}

json::Value plain_scalar(const YAML::Mark& mark, const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (text == ".nan" || text == ".inf" || text == "-.inf") throw Refusal{mark, "numbers must be finite"};
  if (auto integer = as_integer(text)) return *integer;
  if (auto number = as_float(text)) return *number;
  return text;
}

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(const YamlLimits& limits) : limits_(limits) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { scalar(mark, "", anchor, nullptr, ""); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { throw Refusal{mark, "aliases are not used here"}; }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (!is_utf8(text)) throw Refusal{mark, "the text is not UTF-8"};
    if (tag != "?" && text.ends_with(end_comment)) throw Refusal{mark, "a quote is opened here and never closed"};
    if (tag == "?") {
      const bool is_key = expects_key();
      scalar(mark, tag, anchor, is_key ? json::Value(text) : plain_scalar(mark, text), text);
    } else {
      scalar(mark, tag, anchor, text, text);
    }
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, json::Value::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, json::Value::object());
  }
  void OnMapEnd() override { close(); }

  YamlDocument take() && { return std::move(document_); }

 private:
  struct Level {
    json::Value value;
    std::string pointer;
    std::optional<std::string> key;  // of a map: read, its value still to come
  };

  [[nodiscard]] bool expects_key() const {
    return !levels_.empty() && levels_.back().value.is_object() && !levels_.back().key;
  }

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refusal{mark, "anchors are not used here"};
    const bool known = tag.empty() || tag == "?" || tag == "!" || tag == "tag:yaml.org,2002:str";
    if (!known) throw Refusal{mark, "tags are not used here"};
    if (++nodes_ > limits_.nodes_max) throw Refusal{mark, fmt::format("more than {} values", limits_.nodes_max)};
  }

  void scalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, json::Value value,
              const std::string& text) {
    check(mark, tag, anchor);
    if (!expects_key()) {
      put(mark, std::move(value));
      return;
    }
    if (value.is_null()) throw Refusal{mark, "a key is missing"};
    if (text == "<<") throw Refusal{mark, "merge keys are not used here"};
    Level& level = levels_.back();
    if (level.value.contains(text)) throw Refusal{mark, fmt::format("key '{}' is there twice", printable(text))};
    level.key = text;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, json::Value empty) {
    check(mark, tag, anchor);
    if (expects_key()) throw Refusal{mark, "a key must be plain text"};
    if (levels_.size() >= static_cast<std::size_t>(limits_.depth_max)) {
      throw Refusal{mark, fmt::format("nested deeper than {}", limits_.depth_max)};
    }
    std::string pointer = next_pointer();
    document_.places[pointer] = {mark.line + 1, mark.column + 1};
    levels_.push_back({std::move(empty), std::move(pointer), std::nullopt});
  }

  void close() {
    json::Value value = std::move(levels_.back().value);
    levels_.pop_back();
    attach(std::move(value));
  }

  void put(const YAML::Mark& mark, json::Value value) {
    document_.places[next_pointer()] = {mark.line + 1, mark.column + 1};
    attach(std::move(value));
  }

  [[nodiscard]] std::string next_pointer() const {
    if (levels_.empty()) return "";
    const Level& level = levels_.back();
    return level.pointer + "/" + (level.key ? pointer_token(*level.key) : std::to_string(level.value.size()));
  }

  void attach(json::Value value) {
    if (levels_.empty()) {
      document_.value = std::move(value);
      return;
    }
    Level& level = levels_.back();
    if (level.value.is_array()) {
      level.value.push_back(std::move(value));
    } else {
      level.value[*level.key] = std::move(value);
      level.key.reset();
    }
  }

  YamlLimits limits_;
  YamlDocument document_;
  std::vector<Level> levels_;
  std::size_t nodes_ = 0;
};

}  // namespace

YamlPlace YamlDocument::place_of(std::string_view pointer) const {
  while (true) {
    if (const auto found = places.find(pointer); found != places.end()) return found->second;
    const std::size_t slash = pointer.rfind('/');
    if (slash == std::string_view::npos) return {1, 1};
    pointer = pointer.substr(0, slash);
  }
}

Result<YamlDocument> parse_yaml(std::string_view text, YamlLimits limits) {
  if (text.size() > limits.bytes_max) {
    return {ErrorCode::resource_exhausted, fmt::format("larger than {} bytes", limits.bytes_max)};
  }
  try {
    std::istringstream stream(fmt::format("{}\n{}", text, end_comment));
    YAML::Parser parser(stream);
    Builder builder(limits);
    parser.HandleNextDocument(builder);
    Builder rest(limits);
    if (parser.HandleNextDocument(rest)) {
      return {ErrorCode::invalid_argument, "more than one document in the file: split it at '---'"};
    }
    return std::move(builder).take();
  } catch (const Refusal& refusal) {
    return error_at(refusal.mark, refusal.what);
  } catch (const YAML::ParserException& problem) {
    return error_at(problem.mark, printable(problem.msg));
  } catch (const std::exception& problem) {
    return {ErrorCode::invalid_argument, printable(problem.what())};
  }
}

Result<YamlDocument> read_yaml_file(const std::string& path, YamlLimits limits) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return {ErrorCode::not_found, fmt::format("{}: cannot be read", printable(path))};
  std::string text(limits.bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return {ErrorCode::unavailable, fmt::format("{}: cannot be read", printable(path))};
  Result<YamlDocument> parsed = parse_yaml(text, limits);
  if (!parsed) return parsed.error().with_context(printable(path));
  return parsed;
}

}  // namespace fleetward::config
