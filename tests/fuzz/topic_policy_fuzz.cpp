// Topics that a device may use, held against the rule in its plainest form: the levels, one by one. Lines: thing, hold
// level, topic, filter.
#include <vector>

#include "access/topic_policy.hpp"
#include "fleet/names.hpp"
#include "fuzz/target.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::fuzz {
namespace {

using Levels = std::vector<std::string_view>;

bool matches(const Levels& filter, const Levels& topic, std::size_t f, std::size_t t) {
  if (f == filter.size()) return t == topic.size();
  if (filter[f] == "#") return true;
  if (t == topic.size()) return false;
  return (filter[f] == "+" || filter[f] == topic[t]) && matches(filter, topic, f + 1, t + 1);
}

void check_matching(std::string_view filter, std::string_view topic) {
  if (!mqtt::is_topic_filter(filter) || !mqtt::is_topic_name(topic)) return;
  const Levels f = split(filter, '/');
  const bool is_hidden = topic.front() == '$' && (f.front() == "+" || f.front() == "#");
  expect(mqtt::matches(filter, topic) == (!is_hidden && matches(f, split(topic, '/'), 0, 0)),
         fmt::format("'{}' against '{}'", printable(filter), printable(topic)));
}

void check_policy(std::string_view thing, std::optional<fleet::HoldLevel> level, std::string_view topic) {
  const Levels levels = split(topic, '/');
  const Levels own = {"$aws", "things", thing, "defender", "metrics"};
  const bool is_own = levels.size() > own.size() && std::equal(own.begin(), own.end(), levels.begin());
  const auto use = access::publish_use(thing, level, topic);
  expect(use == access::TopicUse::refused || (is_own && !level && levels.size() == 6),
         fmt::format("'{}' publishes to '{}'", thing, printable(topic)));
  const bool is_jobs = topic == fmt::format("$aws/things/{}/jobs/notify", thing);
  const bool may = access::may_subscribe(thing, level, topic);
  expect(!may || is_jobs || (is_own && !level && levels.size() == 7),
         fmt::format("'{}' subscribes to '{}'", thing, printable(topic)));
  expect(!may || topic.find_first_of("+#") == std::string_view::npos, "no wildcard is let through");
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward;
  using namespace fleetward::fuzz;
  Input input(data, size);
  const std::string_view thing = input.line();
  const auto parsed = fleet::parse_hold_level(input.line());
  const std::optional<fleet::HoldLevel> level = parsed ? std::optional(*parsed) : std::nullopt;
  const std::string_view topic = input.line();
  const std::string_view filter = input.line();
  check_matching(filter, topic);
  check_matching(topic, topic);
  if (fleet::is_valid_name(thing)) {
    check_policy(thing, level, topic);
    check_policy(thing, level, filter);
  }
  return 0;
}
