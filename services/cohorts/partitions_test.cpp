// The same fleet over 1, 4 and 16 partitions: engines, the merger and the marks together give the same percentiles and
// the same violations.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bus/record.hpp"
#include "detect/test_world.hpp"
#include "services/cohorts/merger.hpp"

namespace fleetward::cohorts {
namespace {

using detect::testing::event_text;
using detect::testing::LogRecord;
constexpr std::int64_t start_ms = detect::testing::World::start_ms;
constexpr int devices = 80;
constexpr int panes = 6;

constexpr std::string_view behaviors = R"([
  {"name":"bytes","metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than-equals","durationSeconds":600,
   "statisticalThreshold":{"statistic":"p99.9"}}},
  {"name":"few","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"greater-than-equals","durationSeconds":300,
   "statisticalThreshold":{"statistic":"p10"}}},
  {"name":"ports","metric":"aws:num-listening-tcp-ports","criteria":{"comparisonOperator":"less-than-equals",
   "durationSeconds":300,"statisticalThreshold":{"statistic":"p90"}}}])";

// A fleet whose things do the same whatever the number of partitions.
class Fleet {
 public:
  explicit Fleet(std::int32_t partitions) : merger_(partitions, Millis(60'000)), offsets_(partitions) {
    for (std::int32_t p = 0; p < partitions; ++p) {
      engines_.push_back(std::make_unique<detect::PartitionEngine>(p, rules_, snapshots_));
    }
    const json::Value profile = {{"securityProfileName", "p"}, {"version", 1}, {"behaviors", *json::parse(behaviors)}};
    const fleet::Manifest manifest{1, {{"p", 1, {{fleet::Target::Kind::all_things, {}}}}}, {}};
    EXPECT_TRUE(rules_.add("profile/p@1", event_text(profile, "profile/p@1")).ok());
    EXPECT_TRUE(rules_.add("manifest/1", event_text(to_json(manifest), "manifest/1")).ok());
    to_all("begin", json::dump(to_json(fleet::Begin{"b", "e"})));
    to_all("mark", json::dump(to_json(fleet::Mark{"b", 1})));
    for (int pane = 0; pane < panes; ++pane) live(pane);
  }

  std::set<std::string> violations;
  std::map<std::string, std::string> statistics;  // by cohort and pane

 private:
  void live(int pane) {
    for (int second = 5; second < 300; second += 10) {
      now_ms_ = start_ms + pane * 300'000 + second * 1000;
      to_all("tick", json::dump(to_json(fleet::Tick{"b"})));
      if (second == 15) mark();
      for (int d = second / 10; d < devices; d += 30) speak(d, pane);
    }
    now_ms_ = start_ms + (pane + 1) * 300'000 + 1'000;
    to_all("tick", json::dump(to_json(fleet::Tick{"b"})));
    merge();
  }

  // The last device is far out from the fifth pane on; the one before it falls silent to its broker.
  void speak(int d, int pane) {
    const bool is_out = pane >= 4;
    const std::string thing = fmt::format("thing-{}", d);
    const int bytes = (1'000 + 37 * d) * (is_out && d == devices - 1 ? 50 : 1);
    const int total = 3 + d % 4 + (is_out && d == devices - 1 ? 40 : 0);
    to(thing, "report",
       detect::testing::World::report_text(fmt::format(
           R"({{"network_stats":{{"bytes_out":{}}},"listening_tcp_ports":{{"ports":[],"total":{}}}}})", bytes, total)));
    fleet::CloudMetrics m;
    m.gateway = "g";
    m.sequence = ++sequence_;
    m.connected = true;
    if (!is_out || d != devices - 2) m.metrics["aws:num-messages-sent"] = {20 + d % 7, 1, 1, 1};
    to(thing, "cloud-metrics", json::dump(to_json(m)));
  }

  void merge() {
    for (const auto& engine : engines_) {
      for (const fleet::CohortSample& sample : engine->take_samples()) {
        EXPECT_EQ(merger_.take(sample, 0, {}), Merger::Taken::kept);
      }
    }
    for (const fleet::CohortSnapshot& snapshot : merger_.due({})) {
      merger_.note(snapshot);
      const std::string key = fleet::cohort_snapshot_key(snapshot.cohort, snapshot.number);
      EXPECT_TRUE(snapshots_.add(key, event_text(to_json(snapshot), key)).ok());
      json::Value value = to_json(snapshot);
      value.erase("sources");
      statistics[key] = json::dump(value);
      newest_[snapshot.cohort] = snapshot.number;
    }
  }
  void mark() {
    fleet::CohortMark mark{"b", {}};
    for (const auto& [cohort, number] : newest_) mark.snapshots.push_back({cohort, number});
    to_all("cohorts", json::dump(to_json(mark)));
  }

  void to_all(std::string_view kind, const std::string& value) {
    for (std::size_t p = 0; p < engines_.size(); ++p) append(p, kind, "", value);
  }
  void to(const std::string& thing, std::string_view kind, const std::string& value) {
    append(static_cast<std::size_t>(bus::partition_of(thing, static_cast<std::int32_t>(engines_.size()))), kind, thing,
           value);
  }
  void append(std::size_t partition, std::string_view kind, const std::string& key, const std::string& value) {
    LogRecord record;
    record.offset = offsets_[partition]++;
    record.append_ms = now_ms_;
    record.kind = kind;
    record.key = key;
    record.value = value;
    std::vector<fleet::ViolationEvent> out;
    EXPECT_TRUE(engines_[partition]->can_apply(record.view()));
    engines_[partition]->apply(record.view(), out);
    for (const fleet::ViolationEvent& e : out) {
      violations.insert(fmt::format("{} {} {} {}: expected {}, seen {}", to_ms(e.time), fleet::to_string(e.type),
                                    e.thing, e.behavior.name, e.expected, e.seen));
    }
  }

  detect::Rules rules_;
  detect::Snapshots snapshots_;
  Merger merger_;
  std::vector<std::unique_ptr<detect::PartitionEngine>> engines_;
  std::vector<std::int64_t> offsets_;
  std::map<std::string, std::int64_t> newest_;
  std::int64_t now_ms_ = start_ms;
  std::int64_t sequence_ = 0;
};

TEST(Partitions, HowManyThereAreChangesNeitherPercentilesNorViolations) {
  const Fleet one(1);
  const Fleet four(4);
  const Fleet sixteen(16);
  EXPECT_EQ(four.statistics, one.statistics);
  EXPECT_EQ(sixteen.statistics, one.statistics);
  EXPECT_EQ(four.violations, one.violations);
  EXPECT_EQ(sixteen.violations, one.violations);
  EXPECT_EQ(one.statistics.size(), 3U * panes);
  std::set<std::string> who;
  for (const std::string& v : one.violations) who.insert(v.substr(v.find(' ') + 1, v.find(':') - v.find(' ') - 1));
  EXPECT_THAT(who, ::testing::UnorderedElementsAre("in-alarm thing-79 bytes", "in-alarm thing-79 ports",
                                                   "in-alarm thing-78 few"))
      << "those far out, and none of their peers";
}

TEST(Partitions, ThePercentilesAreThoseOfTheDevicesWithinTheStatedError) {
  const Fleet things(4);
  const std::int64_t pane = start_ms / 300'000 + 3;
  const auto s = json::parse(things.statistics.at(fleet::cohort_snapshot_key("p/aws:all-bytes-out/600", pane)));
  std::vector<double> exact;
  for (int d = 0; d < devices; ++d) exact.push_back(2 * (1'000 + 37 * d));
  std::sort(exact.begin(), exact.end());
  EXPECT_EQ((*s)["devices"], devices);
  const double error = (*s)["relativeError"].get<double>();
  EXPECT_LE(error, 1.0 / 128);
  for (const auto& [name, percent] :
       std::map<std::string, double>{{"p1", 1}, {"p10", 10}, {"p50", 50}, {"p90", 90}, {"p99", 99}}) {
    const double value = exact[static_cast<std::size_t>(std::ceil(percent / 100 * devices - 1e-9)) - 1];
    const json::Value& range = (*s)["statistics"][name];
    EXPECT_GE(value, range["low"].get<double>()) << name;
    EXPECT_LE(value, range["high"].get<double>()) << name;
    EXPECT_LE(range["high"].get<double>(), range["low"].get<double>() * (1 + error)) << name;
  }
  EXPECT_EQ((*s)["statistics"]["p0"]["low"], exact.front());
  EXPECT_EQ((*s)["statistics"]["p100"]["high"], exact.back());
}

}  // namespace
}  // namespace fleetward::cohorts
