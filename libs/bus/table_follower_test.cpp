#include "bus/table_follower.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/embedded_bus.hpp"

namespace fleetward::bus {
namespace {

using ::testing::ElementsAre;

// In virtual time: the memory bus, its follower and the test share one thread.
class TableFollowerTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(bus_->ensure_topics({{"table", 2, TopicKind::table, Millis(0)}}).ok()); }
  void TearDown() override {
    scope_.request_stop();
    follower_.wake();
    scheduler_.run_for(Millis(5'000));
    EXPECT_EQ(scope_.running(), 0U);
  }
  void put(const std::string& key, const std::string& value, const std::string& version) {
    Headers headers;
    if (!version.empty()) headers.push_back({"version", version});
    bus_->append({{"table", key, value, headers, std::nullopt}}, [](const auto& r) { ASSERT_TRUE(r.ok()); });
    scheduler_.run_ready();
  }
  void follow() {
    scope_.spawn("follow", follower_.run(scope_));
    scheduler_.run_ready();
  }

  async::VirtualScheduler scheduler_{instant_from_ms(0)};
  async::Scope scope_{scheduler_, "test"};
  metrics::Registry metrics_;
  std::unique_ptr<Bus> bus_ = make_memory_bus(scheduler_, metrics_);
  std::vector<std::string> seen_;
  std::size_t caught_up_after_ = 99;
  TableFollower follower_{*bus_,
                          scheduler_,
                          "table",
                          "version",
                          {.record = [this](const Record& r) { seen_.push_back(r.key + r.value.value_or("-")); },
                           .caught_up = [this] { caught_up_after_ = seen_.size(); }}};
};

TEST_F(TableFollowerTest, AnEmptyTableIsCaughtUpAtOnce) {
  follow();
  EXPECT_TRUE(follower_.caught_up());
  EXPECT_EQ(caught_up_after_, 0U);
}

TEST_F(TableFollowerTest, ReadsWholeThenFollowsAndSkipsWhatIsNotNewer) {
  put("a", "1", "1");
  put("a", "2", "2");
  put("a", "again", "2");
  put("a", "old", "1");
  follow();
  EXPECT_THAT(seen_, ElementsAre("a1", "a2"));
  EXPECT_EQ(caught_up_after_, 2U);
  const auto places = follower_.next_offsets();
  EXPECT_EQ(places.at(partition_of("a", 2)), 4);
  EXPECT_EQ(places.at(1 - partition_of("a", 2)), 0);
  put("a", "3", "10");
  put("a", "stale", "9");
  put("a", "no number", "x");  // no version that could be compared: handed on
  put("a", "none", "");
  EXPECT_THAT(seen_, ElementsAre("a1", "a2", "a3", "ano number", "anone"));
}

TEST_F(TableFollowerTest, WhatIsNotAcceptedIsAsIfItWereNotThere) {
  std::set<std::string> refused{"forged"};
  std::vector<Record> kept;
  TableFollower::Callbacks callbacks;
  callbacks.record = [this](const Record& r) { seen_.push_back(r.key + r.value.value_or("-")); };
  callbacks.accept = [&](const Record& r) {
    const bool good = !refused.contains(r.value.value_or("-"));
    if (!good) kept.push_back(r);
    return good;
  };
  TableFollower follower(*bus_, scheduler_, "table", "version", callbacks);
  put("a", "1", "1");
  put("a", "forged", "9");
  put("a", "2", "2");
  put("a", "forged", "1");
  scope_.spawn("follow", follower.run(scope_));
  scheduler_.run_ready();
  EXPECT_THAT(seen_, ElementsAre("a1", "a2")) << "its version held nothing up";
  EXPECT_EQ(kept.size(), 2U) << "one that is not newer is asked about, too";
  EXPECT_TRUE(follower.caught_up());
  refused.clear();
  follower.offer(kept);
  EXPECT_THAT(seen_, ElementsAre("a1", "a2", "aforged")) << "what is good by now, where it is newer";
  scope_.request_stop();
  follower.wake();
  scheduler_.run_for(Millis(5'000));
}

}  // namespace
}  // namespace fleetward::bus
