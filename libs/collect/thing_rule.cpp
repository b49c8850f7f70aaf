#include "collect/thing_rule.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "collect/pointer.hpp"
#include "core/text.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::collect {
namespace {

constexpr std::size_t name_bytes_max = 256;
constexpr std::string_view thing_level = "{thing}";
constexpr std::string_view format_level = "{format}";

std::optional<report::Encoding> encoding_named(std::string_view level) {
  if (level == "json") return report::Encoding::json;
  if (level == "cbor") return report::Encoding::cbor;
  return std::nullopt;
}

Error wrong(std::string words) { return {ErrorCode::invalid_argument, std::move(words)}; }

}  // namespace

Result<TopicPattern> TopicPattern::parse(std::string_view text) {
  TopicPattern pattern;
  for (const std::string_view level : split(text, '/')) {
    const bool is_ours = level == thing_level || level == format_level;
    if (!is_ours && level.find_first_of("{}") != std::string_view::npos)
      return wrong(fmt::format("the level {} is neither {{thing}} nor {{format}}", printable(level, 64)));
    pattern.levels_.emplace_back(level);
  }
  const auto count = [&pattern](std::string_view level) {
    return std::count(pattern.levels_.begin(), pattern.levels_.end(), level);
  };
  if (count(thing_level) != 1) return wrong("a topic's pattern needs the level {thing} once");
  if (count(format_level) > 1) return wrong("the level {format} is there more than once");
  if (!mqtt::is_topic_filter(pattern.filter()))
    return wrong("the pattern is no topic filter: + only as a whole level, # only as the last");
  return pattern;
}

std::optional<TopicFinding> TopicPattern::find(std::string_view topic) const {
  const std::vector<std::string_view> levels = split(topic, '/');
  TopicFinding found;
  for (std::size_t i = 0; i < levels_.size(); ++i) {
    const std::string& wanted = levels_[i];
    if (wanted == "#") return found;
    if (i >= levels.size()) return std::nullopt;
    if (wanted == thing_level) {
      found.thing = levels[i];
    } else if (wanted == format_level) {
      found.encoding = encoding_named(levels[i]);
      if (!found.encoding) return std::nullopt;
    } else if (wanted != "+" && wanted != levels[i]) {
      return std::nullopt;
    }
  }
  return levels.size() == levels_.size() ? std::optional(found) : std::nullopt;
}

std::string TopicPattern::filter() const {
  std::string out;
  for (const std::string& level : levels_) {
    if (&level != &levels_.front()) out += '/';
    out += level == thing_level || level == format_level ? "+" : level;
  }
  return out;
}

Result<ThingRule> ThingRule::parse(std::string_view text) {
  const std::size_t space = text.find(' ');
  const std::string_view kind = text.substr(0, space);
  const std::string_view rest = space == std::string_view::npos ? std::string_view() : trim(text.substr(space));
  ThingRule rule;
  rule.name = rest;
  if (kind == "key" && rest.empty()) return rule;
  if (kind == "topic" && !rest.empty()) {
    rule.from = From::topic;
    auto pattern = TopicPattern::parse(rest);
    if (!pattern) return pattern.error();
    rule.topic = std::move(*pattern);
    return rule;
  }
  if (kind == "header" && !rest.empty() && rest.size() <= name_bytes_max) {
    rule.from = From::header;
    return rule;
  }
  if (kind == "field" && !rest.empty()) {
    rule.from = From::field;
    const auto pointer = Pointer::parse(rest);
    if (!pointer) return pointer.error();
    if (pointer->has_wildcard()) return wrong("the field of the thing's name may have no *");
    return rule;
  }
  return wrong(fmt::format(
      "'{}' says of no thing: it is topic PATTERN (devices/{{thing}}/metrics), key, header NAME or field /PATH",
      printable(text, 64)));
}

}  // namespace fleetward::collect
