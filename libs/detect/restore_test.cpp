// What must hold of checkpoints: from any of them on, the rest of the log gives the same as without.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "detect/test_world.hpp"

namespace fleetward::detect {
namespace {

using testing::LogRecord;
using testing::World;

// A log with everything in it: reports of all kinds, deltas, repeats, registrations, deletions, changes of rules, new
// owners' records, silences, outages, garbage.
class Story {
 public:
  explicit Story(unsigned seed) : random_(seed) {
    world_.custom_metric("cpu", fleet::CustomMetricType::number);
    world_.profile("state", state_rules(22));
    world_.profile("sums", sum_rules, {{fleet::Target::Kind::thing_group, "g"}});
    bulk_ = world_.dimension("bulk", {"data/#"});
    world_.profile("cloud", cloud_rules);
    world_.profile("peers", peer_rules);
  }
  World& run(int steps) {
    for (int i = 0; i < steps; ++i) step();
    return world_;
  }

 private:
  static std::string state_rules(int port) {
    return fmt::format(
        R"([{{"name":"ports","metric":"aws:listening-tcp-ports","criteria":{{"comparisonOperator":"in-port-set",
      "value":{{"ports":[{}]}},"consecutiveDatapointsToClear":2}}}},{{"name":"cpu","metric":"cpu","criteria":
      {{"comparisonOperator":"less-than","value":{{"number":50}},"consecutiveDatapointsToAlarm":2}}}}])",
        port);
  }
  static constexpr std::string_view sum_rules = R"([
    {"name":"out5","metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than","value":{"count":3000},"durationSeconds":300}},
    {"name":"out15","metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than","value":{"count":5000},"durationSeconds":900,"consecutiveDatapointsToAlarm":2}},
    {"name":"low","metric":"aws:all-packets-out","criteria":{"comparisonOperator":"greater-than","value":{"count":5},"durationSeconds":600}}])";
  static constexpr std::string_view cloud_rules = R"([
    {"name":"sent","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"greater-than","value":{"count":0},"durationSeconds":300}},
    {"name":"bulk","metric":"aws:num-messages-sent","metricDimension":{"dimensionName":"bulk"},"criteria":{"comparisonOperator":"greater-than","value":{"count":0},"durationSeconds":300}},
    {"name":"rest","metric":"aws:message-byte-size","metricDimension":{"dimensionName":"bulk","operator":"NOT_IN"},"criteria":{"comparisonOperator":"less-than","value":{"count":900}}},
    {"name":"size","metric":"aws:message-byte-size","criteria":{"comparisonOperator":"less-than","value":{"count":900}}},
    {"name":"away","metric":"aws:disconnect-duration","criteria":{"comparisonOperator":"less-than","value":{"count":20}}}])";

  static constexpr std::string_view peer_rules = R"([
    {"name":"cpu","metric":"cpu","criteria":{"comparisonOperator":"less-than-equals","durationSeconds":300,"statisticalThreshold":{"statistic":"p90"}}},
    {"name":"out10","metric":"aws:all-bytes-out","criteria":{"comparisonOperator":"less-than","durationSeconds":600,"statisticalThreshold":{"statistic":"p99"}}},
    {"name":"quiet","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"greater-than-equals","durationSeconds":300,"statisticalThreshold":{"statistic":"p10"}}},
    {"name":"size","metric":"aws:message-byte-size","criteria":{"comparisonOperator":"less-than","durationSeconds":300,"statisticalThreshold":{"statistic":"p50"}}}])";

  // A newer snapshot of one of the cohorts, and its mark.
  void compare() {
    const std::vector<std::string>& cohorts = world_.engine().cohorts().names();
    if (cohorts.empty()) return;
    fleet::CohortSnapshot s;
    s.cohort = cohorts[below(cohorts.size())];
    s.number = world_.now_ms() / 300'000 - static_cast<std::int64_t>(below(3));
    s.devices = 20;
    s.panes = 1 + static_cast<std::int64_t>(below(4));
    for (auto& range : s.statistics) {
      range.low = static_cast<double>(below(1000));
      range.high = range.low * 1.005;
    }
    if (world_.snapshots().find(s.cohort, s.number) == nullptr) world_.hold(s);
    world_.cohort_mark({{s.cohort, s.number}}, below(6) == 0 ? "b0" : "b1");
  }

  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  void step() {
    const std::string thing = fmt::format("thing-with-a-long-name-{}", below(6));
    seconds_ += static_cast<std::int64_t>(below(60));
    world_.at(seconds_);
    if (below(5) == 0) compare();
    switch (below(16)) {
      case 0:
        seconds_ += 400;
        world_.at(seconds_);
        break;
      case 1:
        if (below(4) == 0) {
          seconds_ += static_cast<std::int64_t>(100 + below(3000));
          world_.jump(seconds_).tick();
        }
        break;
      case 2:
        world_.thing(thing, below(2) == 0 ? std::vector<std::string>{"g"} : std::vector<std::string>{},
                     fmt::format("id{}", below(2)), below(4) == 0);
        break;
      case 3:
        if (below(3) == 0) world_.profile("state", state_rules(below(2) == 0 ? 22 : 23));
        break;
      case 4:
        if (below(5) == 0) world_.detach("sums");
        else if (below(3) == 0) world_.profile("sums", sum_rules, {{fleet::Target::Kind::thing_group, "g"}});
        break;
      case 5:
        world_.add("report", thing, "{broken");
        if (below(4) == 0) bulk_ = world_.dimension("bulk", {"data/#"});
        else world_.counting({bulk_}, fmt::format("g{}", below(3)), static_cast<std::int64_t>(below(3)));
        break;
      case 6:
      case 7: {
        fleet::CloudMetrics m;
        m.gateway = fmt::format("g{}", below(3));
        m.start_number = static_cast<std::int64_t>(below(3));
        m.connected = below(3) != 0;
        if (below(8) == 0) m.sequence = 1;
        const double size = static_cast<double>(below(1000));
        m.metrics = {{"aws:num-messages-sent", {static_cast<std::int64_t>(below(3)), size, size, size}},
                     {"aws:message-byte-size", {1, size, size, size}}};
        m.dimensions = {
            {{bulk_.dimension, bulk_.version - static_cast<std::int64_t>(below(2))}, below(2) == 0, m.metrics, {}}};
        if (m.dimensions[0].dimension.version == 0) m.dimensions.clear();
        world_.cloud(thing, m);
        break;
      }
      case 8:
      case 9:
        world_.tcp_ports(thing, below(4) == 0 ? std::vector<int>{} : std::vector<int>{static_cast<int>(22 + below(2))});
        break;
      case 10: {
        LogRecord r;
        r.append_ms = world_.now_ms();
        r.kind = "report";
        r.key = thing;
        r.value = World::report_text(
            fmt::format(R"({{"network_stats":{{"bytes_out":{},"packets_out":{}}}}})", below(3) * 1000, below(8)));
        r.packet_id = static_cast<std::uint16_t>(below(3));
        r.dup = below(2) == 0;
        r.received_ms = world_.now_ms() - static_cast<std::int64_t>(below(90'000));
        world_.add(r);
        break;
      }
      case 11:
        world_.add("report", thing,
                   fmt::format(R"({{"hed":{{"rid":1,"v":"1.0"}},"cmet":{{"cpu":[{{"number":{}}}]}}}})", below(100)));
        break;
      default:
        world_.report(thing, fmt::format(R"({{"network_stats":{{"bytes_out":{},"packets_out":{}}}}})", below(3) * 1000,
                                         below(8)));
    }
  }

  std::mt19937 random_;
  World world_;
  fleet::DimensionVersion bulk_;
  std::int64_t seconds_ = 0;
};

using Table = std::map<std::string, std::string>;

void checkpoint(PartitionEngine& engine, Table& table) {
  for (StateChange& change : engine.take_changes()) {
    if (change.value) table[change.key] = std::move(*change.value);
    else table.erase(change.key);
  }
  table[PartitionEngine::partition_key(7)] = engine.partition_record();
}

std::unique_ptr<PartitionEngine> restored(const Table& table, const World& world) {
  auto engine = std::make_unique<PartitionEngine>(7, world.rules(), world.snapshots());
  for (auto at = table.rbegin(); at != table.rend(); ++at) {  // in another order than the devices came
    if (at->first.starts_with("partition/")) continue;
    const Status status = engine->restore_device(at->first, at->second);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
  const Status own = engine->restore_partition(table.at(PartitionEngine::partition_key(7)));
  EXPECT_TRUE(own.ok()) << own.error().message;
  return engine;
}

std::string text_of(const std::vector<fleet::ViolationEvent>& events) {
  std::string out;
  for (const fleet::ViolationEvent& e : events) out += json::dump(to_json(e)) + "\n";
  return out;
}

class Restore : public ::testing::TestWithParam<unsigned> {};

// Restores again and again, at random places, and compares with the engine that was never stopped.
TEST_P(Restore, GivesTheSameRestAtAnyPoint) {
  Story story(GetParam());
  World& world = story.run(600);
  EXPECT_GT(world.out().size(), 40U) << "the story must have something to compare";
  EXPECT_EQ(world.engine().counters().records(), world.log().size());

  std::mt19937 random(GetParam() * 7919);
  auto engine = std::make_unique<PartitionEngine>(7, world.rules(), world.snapshots());
  Table table;
  std::vector<fleet::ViolationEvent> out;
  int restores = 0;
  std::vector<fleet::CohortSample> samples;
  const auto take_samples = [&] {
    for (fleet::CohortSample& sample : engine->take_samples()) samples.push_back(std::move(sample));
  };
  for (const LogRecord& record : world.log()) {
    engine->apply(record.view(), out);
    if (random() % 3 == 0) checkpoint(*engine, table);
    if (random() % 11 == 0) {
      checkpoint(*engine, table);
      take_samples();
      engine = restored(table, world);
      ++restores;
    }
  }
  EXPECT_GT(restores, 30);
  EXPECT_EQ(text_of(out), text_of(world.out()));
  take_samples();
  EXPECT_GT(samples.size(), 100U);
  EXPECT_EQ(samples, world.engine().take_samples()) << "each device has voted once in each pane";
  checkpoint(*engine, table);
  Table whole;
  checkpoint(world.engine(), whole);
  EXPECT_EQ(table, whole) << "increments add up to the whole state";
}

TEST_P(Restore, IsDeterministic) {
  EXPECT_EQ(text_of(Story(GetParam()).run(300).out()), text_of(Story(GetParam()).run(300).out()));
}

INSTANTIATE_TEST_SUITE_P(Stories, Restore, ::testing::Range(1U, 13U));

TEST(RestoreErrors, AreToldAndTakeNothing) {
  World world;
  world.profile("p", R"([{"name":"ports","metric":"aws:listening-tcp-ports","criteria":
      {"comparisonOperator":"in-port-set","value":{"ports":[22]}}}])");
  world.tcp_ports("v1", {23});
  Table table;
  checkpoint(world.engine(), table);
  const std::string own = table.at("partition/7");
  Rules none;
  PartitionEngine early(7, none, world.snapshots());
  EXPECT_EQ(early.restore_partition(own).error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(early.next_offset(), 0);
  EXPECT_EQ(early.restore_partition("{}").error().code, ErrorCode::corrupted);
  auto newer = *json::parse(own);
  newer["recordVersion"] = 2;
  const Status downgrade = early.restore_partition(json::dump(newer));
  ASSERT_FALSE(downgrade.ok());
  EXPECT_EQ(downgrade.error().code, ErrorCode::unsupported);
  EXPECT_THAT(downgrade.error().message,
              ::testing::HasSubstr("version 2, this program knows 1: run the fleetward that"));

  PartitionEngine engine(7, world.rules(), world.snapshots());
  const std::string device = table.at("v1");
  for (std::size_t n = 0; n < device.size(); ++n) {
    EXPECT_FALSE(engine.restore_device("v1", std::string_view(device).substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(engine.restore_device("v1", device + "x").ok());
  EXPECT_FALSE(engine.restore_device("a/b", device).ok());
  std::string seen = device;  // by a gateway, in the open pane: of none that the partition knows
  constexpr std::size_t flags_at = 1 + 2 + 8;
  ASSERT_EQ(seen[flags_at], '\0');
  seen[flags_at] = '\4';
  EXPECT_EQ(engine.device_count(), 0U);
  EXPECT_TRUE(engine.restore_device("v1", seen).ok());
  EXPECT_EQ(engine.restore_partition(own).error().code, ErrorCode::corrupted);
}

// As the table's log has them before it is compacted.
TEST(RestoreDevices, TakesTheLastThatIsSaidOfEach) {
  World world;
  world.profile("p", R"([{"name":"ports","metric":"aws:listening-tcp-ports","criteria":
      {"comparisonOperator":"in-port-set","value":{"ports":[22]}}}])");
  for (const char* name : {"gone", "v1", "v2"}) world.tcp_ports(name, {22});
  Table early;
  checkpoint(world.engine(), early);
  world.tcp_ports("v1", {23});
  world.thing("v2", {"g"}, "id2");
  Table late;
  checkpoint(world.engine(), late);
  const std::string own = late.at("partition/7");

  PartitionEngine engine(7, world.rules(), world.snapshots());
  for (const char* name : {"gone", "v1", "v2"}) ASSERT_TRUE(engine.restore_device(name, early.at(name)).ok());
  const std::size_t bytes = engine.state_bytes();
  EXPECT_GE(bytes, 3 * sizeof(Device));
  ASSERT_TRUE(engine.restore_device("gone", std::nullopt).ok());
  ASSERT_TRUE(engine.restore_device("never", std::nullopt).ok());
  for (const char* name : {"v1", "v2"}) ASSERT_TRUE(engine.restore_device(name, late.at(name)).ok());
  ASSERT_TRUE(engine.restore_partition(own).ok());
  EXPECT_EQ(engine.device_count(), 2U);
  EXPECT_TRUE(engine.take_changes().empty()) << "it is as it was saved";

  const std::size_t from = world.log().size();
  world.tcp_ports("v1", {22});
  world.tcp_ports("v2", {23});
  std::vector<fleet::ViolationEvent> out;
  for (std::size_t i = from; i < world.log().size(); ++i) engine.apply(world.log()[i].view(), out);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(text_of(out), text_of({world.out().end() - 2, world.out().end()}));
}

TEST(RestoreDevices, WaitForRulesThatComeLater) {
  World world;
  world.profile("p", R"([{"name":"ports","metric":"aws:listening-tcp-ports","criteria":
      {"comparisonOperator":"in-port-set","value":{"ports":[22]}}}])");
  world.tcp_ports("v1", {23});
  Table table;
  checkpoint(world.engine(), table);
  Rules rules;
  PartitionEngine engine(7, rules, world.snapshots());
  ASSERT_TRUE(engine.restore_device("v1", table.at("v1")).ok());
  EXPECT_EQ(engine.restore_partition(table.at("partition/7")).error().code, ErrorCode::failed_precondition);
  rules = world.rules();
  EXPECT_TRUE(engine.restore_partition(table.at("partition/7")).ok());
}

}  // namespace
}  // namespace fleetward::detect
