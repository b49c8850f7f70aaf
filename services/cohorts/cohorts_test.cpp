// The role over a bus in memory; compiled with FLEETWARD_CONTRACT_KAFKA (tests/contract) over a real Kafka, one a test.
#include "services/cohorts/cohorts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "bus/embedded_bus.hpp"
#include "detect/sketch.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/cohort.hpp"
#include "fleet/topics.hpp"
#ifdef FLEETWARD_CONTRACT_KAFKA
#include "contract/kafka_cluster.hpp"
#endif

namespace fleetward::cohorts {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
constexpr std::int64_t first = 5'000'000;  // a pane
constexpr std::int32_t partitions = 2;

class CohortsTest : public ::testing::Test {
 protected:
  CohortsTest() {
    std::vector<bus::TopicSpec> topics;
    for (const fleet::TopicInfo& t : fleet::all_topics) {
      topics.push_back({std::string(t.name), t.per_device ? partitions : 1,
                        t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
    }
    EXPECT_TRUE(bus_->ensure_topics(topics).ok());
  }
  ~CohortsTest() override {
    for (auto& [member, role] : roles_) role->stop(Millis(10'000));
    loop_.stop();
  }
  void start(const std::string& member, Millis late_after = Millis(3'600'000)) {
    CohortsSettings settings;
    settings.member = member;
    settings.late_after = late_after;
    roles_[member] = std::make_unique<Cohorts>(settings, *bus_, loop_, metrics_);
    ASSERT_TRUE(roles_[member]->start().ok());
  }
  void stop(const std::string& member) {
    roles_[member]->stop(Millis(10'000));
    roles_.erase(member);
  }
  void append(const std::string& cohort, std::string value) {
    std::promise<bool> done;
    std::vector<bus::OutRecord> records;
    records.push_back({std::string(fleet::topic::cohort_samples), cohort, std::move(value), {}, std::nullopt});
    bus_->append(std::move(records), [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  void say(std::int32_t partition, std::int64_t pane, int devices, const std::string& cohort = "c") {
    detect::Sketch sketch;
    for (int i = 0; i < devices; ++i) sketch.add(10 + i);
    const fleet::CohortSample sample{cohort, partition, first + pane, sketch.encode()};
    append(cohort, fleet::to_json_text({"id", "/test", std::string(fleet::event_type::cohort_sample), cohort,
                                        instant_from_ms(0), to_json(sample)}));
  }
  static async::Task<void> read(bus::Bus& bus, async::Scheduler& loop, std::vector<std::string>& out,
                                std::promise<void>& done) {
    auto reader = bus::read_all(bus, loop, std::string(fleet::topic::cohorts));
    while (!(*reader)->caught_up()) {
      const auto some = co_await (*reader)->poll(1'000, Millis(0));
      for (const bus::Record& record : *some) {
        const auto event = fleet::parse_cloud_event(record.value.value_or(""));
        const auto snapshot = fleet::cohort_snapshot_from_json(event->data);
        out.push_back(
            fmt::format("{}@{} {} {}", snapshot->cohort, snapshot->number - first, snapshot->devices, snapshot->panes));
        EXPECT_EQ(record.key, event->subject);
      }
    }
    done.set_value();
  }
  // "c@0 20 1": cohort, pane, devices, panes in a row.
  std::vector<std::string> snapshots() {
    std::vector<std::string> out;
    std::promise<void> done;
    async::Scope scope(loop_, "read");
    scope.spawn("read", read(*bus_, loop_, out, done));
    done.get_future().wait();
    scope.join(Millis(10'000));
    return out;
  }
  bool wait(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool wait_for(std::size_t count) {
    return wait([&] { return snapshots().size() >= count; });
  }
  std::uint64_t samples(std::string_view result) {
    return metrics_.counter("fleetward_cohorts_samples_total", "", {{"result", std::string(result)}}).value();
  }

  std::unique_ptr<bus::Bus> make_bus() {
#ifdef FLEETWARD_CONTRACT_KAFKA
    auto opened = bus::open_kafka_bus(cluster_.options(), metrics_);
    if (!opened) throw std::runtime_error(opened.error().message);
    return std::move(*opened);
#else
    return bus::make_memory_bus(loop_, metrics_);
#endif
  }

  metrics::Registry metrics_;
  async::LoopThread loop_{"cohorts"};
#ifdef FLEETWARD_CONTRACT_KAFKA
  contract::KafkaCluster cluster_{{}};
#endif
  std::unique_ptr<bus::Bus> bus_ = make_bus();
  std::map<std::string, std::unique_ptr<Cohorts>> roles_;
};

TEST_F(CohortsTest, MergesTheSamplesOfAPaneAndPublishesOnce) {
  start("a");
  EXPECT_TRUE(wait([&] { return roles_["a"]->ready().ok(); }));
  say(0, 0, 12);
  say(1, 0, 8);
  ASSERT_TRUE(wait_for(1));
  say(1, 0, 8);
  say(0, 1, 12);
  say(1, 1, 9);
  ASSERT_TRUE(wait_for(2));
  EXPECT_THAT(snapshots(), ElementsAre("c@0 20 1", "c@1 21 2"));
}

TEST_F(CohortsTest, GoesOnAfterARestartWhereItWas) {
  start("a");
  say(0, 0, 12);
  say(1, 0, 8);
  say(0, 1, 12);
  ASSERT_TRUE(wait_for(1));
  stop("a");
  say(1, 1, 9);
  start("a");
  ASSERT_TRUE(wait_for(2)) << "what it held of the pane is read again";
  say(0, 2, 12);
  say(1, 2, 8);
  ASSERT_TRUE(wait_for(3));
  EXPECT_THAT(snapshots(), ElementsAre("c@0 20 1", "c@1 21 2", "c@2 20 3"));
}

TEST_F(CohortsTest, ItsPartitionsAreTakenOverWithNothingLostOrTwice) {
  start("a");
  start("b");
  std::vector<std::string> expected;
  for (int pane = 0; pane < 6; ++pane) {
    for (const std::string cohort : {"c", "d", "e", "f"}) {
      say(0, pane, 12, cohort);
      if (pane == 3 && cohort == "d") stop("b");
      say(1, pane, 8, cohort);
      expected.push_back(fmt::format("{}@{} 20 {}", cohort, pane, pane + 1));
    }
    ASSERT_TRUE(wait_for(expected.size())) << pane;
    if (pane == 1) start("c");
  }
  EXPECT_THAT(snapshots(), ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(CohortsTest, APartitionThatSaysNothingIsNotWaitedForForEver) {
  start("a", Millis(50));
  say(0, 0, 12);
  ASSERT_TRUE(wait_for(1));
  EXPECT_THAT(snapshots(), ElementsAre("c@0 12 1"));
  EXPECT_EQ(metrics_.counter("fleetward_cohorts_snapshots_without_all_total", "").value(), 1U);
}

TEST_F(CohortsTest, WhatIsNoSampleIsCountedAndHoldsNothingUp) {
  start("a");
  append("c", "{");
  say(7, 0, 1);
  detect::Sketch empty;
  append("other", fleet::to_json_text({"id", "/test", "t", "c", instant_from_ms(0),
                                       to_json(fleet::CohortSample{"c", 0, first, empty.encode()})}));
  say(0, 0, 12);
  say(1, 0, 8);
  ASSERT_TRUE(wait_for(1));
  EXPECT_TRUE(wait([&] { return samples("refused") == 3; }));
  EXPECT_EQ(samples("kept"), 2U);
}

}  // namespace
}  // namespace fleetward::cohorts
