#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

constexpr std::size_t topic_bytes_max = 65'535;

// Cuts the first level off; `more` says whether another one follows.
std::string_view take_level(std::string_view& text, bool& more) {
  const auto slash = text.find('/');
  const std::string_view level = text.substr(0, slash);
  more = slash != std::string_view::npos;
  text = more ? text.substr(slash + 1) : std::string_view();
  return level;
}

}  // namespace

bool is_topic_name(std::string_view topic) {
  return !topic.empty() && topic.size() <= topic_bytes_max &&
         topic.find_first_of(std::string_view("+#\0", 3)) == std::string_view::npos;
}

bool is_topic_filter(std::string_view filter) {
  if (filter.empty() || filter.size() > topic_bytes_max || filter.find('\0') != std::string_view::npos) return false;
  for (bool more = true; more;) {
    const std::string_view level = take_level(filter, more);
    if (level == "#") return !more;
    if (level != "+" && level.find_first_of("+#") != std::string_view::npos) return false;
  }
  return true;
}

bool matches(std::string_view filter, std::string_view topic) {
  if (topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#'))) return false;
  bool more_filter = true;
  bool more_topic = true;
  while (more_filter) {
    const std::string_view wanted = take_level(filter, more_filter);
    if (wanted == "#") return true;
    if (!more_topic) return false;
    const std::string_view level = take_level(topic, more_topic);
    if (wanted != "+" && wanted != level) return false;
    // "a/#" matches "a" too.
    if (!more_topic && more_filter) return filter == "#";
  }
  return !more_topic;
}

}  // namespace fleetward::mqtt
