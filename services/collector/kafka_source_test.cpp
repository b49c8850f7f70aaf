// An operator's cluster as a source: what is read of it stands on our bus before its offsets are committed.
#include "repository/dead_letter_repository.hpp"
#include "services/collector/test_world.hpp"

namespace fleetward::collector {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(CollectorTest, AReportFromATopicStandsOnDevicesAsAGatewayWouldWriteIt) {
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  start(std::move(config));
  produce("dev1", report(7));
  ASSERT_TRUE(eventually([&] { return committed("telemetry") == 1; }));
  const auto taken = devices();
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].key, "dev1");
  EXPECT_EQ(taken[0].value, report(7));
  EXPECT_EQ(header_of(taken[0], fleet::header::kind), "report");
  EXPECT_EQ(header_of(taken[0], fleet::header::source), "collector-1");
  EXPECT_EQ(header_of(taken[0], fleet::header::origin), "kafka/plant/telemetry");
  EXPECT_EQ(header_of(taken[0], fleet::header::thing_id), "id-dev1");
  EXPECT_EQ(header_of(taken[0], fleet::header::content_type), "application/json");
  EXPECT_EQ(header_of(taken[0], fleet::header::origin_partition), std::to_string(bus::partition_of("dev1", 2)));
  EXPECT_EQ(header_of(taken[0], fleet::header::origin_offset), "0");
  EXPECT_EQ(header_of(taken[0], fleet::header::claimed), "1") << "nobody vouches for the key";
  EXPECT_EQ(counted("kafka/plant", "taken"), 1U);
  EXPECT_TRUE(eventually([&] { return collector_->ready().ok(); }));
}

TEST_F(CollectorTest, ASourceThatIsVouchedForIsNotMarked) {
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  config.kafka[0].source.vouched = true;
  start(std::move(config));
  produce("dev1", report(7));
  ASSERT_TRUE(eventually([&] { return counted("kafka/plant", "taken") == 1; }));
  EXPECT_EQ(header_of(devices().at(0), fleet::header::claimed), "-");
}

TEST_F(CollectorTest, WhatCannotBeUsedIsADeadLetterAndIsThenCommitted) {
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  start(std::move(config));
  produce("dev1", "no JSON");
  produce("a/b", report(1));
  produce("stranger", report(2), "more");
  produce("dev1", std::string(report::payload_bytes_max + 1, 'x'));
  ASSERT_TRUE(eventually([&] { return committed("telemetry") + committed("more") == 4; }));
  EXPECT_THAT(devices(), IsEmpty());
  std::map<std::string, fleet::DeadLetter> by_reason;
  for (const fleet::DeadLetter& letter : letters()) by_reason[letter.reason] = letter;
  ASSERT_THAT(by_reason, SizeIs(4));
  EXPECT_EQ(by_reason["bad-payload"].payload, "no JSON");
  EXPECT_EQ(by_reason["bad-payload"].key, "dev1");
  EXPECT_EQ(by_reason["bad-payload"].partition, bus::partition_of("dev1", 2));
  EXPECT_EQ(by_reason["bad-payload"].offset, 0);
  EXPECT_EQ(by_reason["no-thing"].key, "a/b");
  EXPECT_THAT(by_reason["unknown-thing"].why, HasSubstr("stranger is not registered"));
  EXPECT_EQ(by_reason["unknown-thing"].topic, "more");
  EXPECT_TRUE(by_reason["too-large"].cut);
  EXPECT_EQ(by_reason["too-large"].payload_bytes, static_cast<std::int64_t>(report::payload_bytes_max + 1));
  for (const auto& [reason, letter] : by_reason) EXPECT_EQ(counted("kafka/plant", reason), 1U) << reason;
}

TEST_F(CollectorTest, ASourceMayTakeThingsThatAreNotRegistered) {
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  config.kafka[0].source.takes_unknown = true;
  start(std::move(config));
  produce("stranger", report(2));
  ASSERT_TRUE(eventually([&] { return counted("kafka/plant", "taken") == 1; }));
  EXPECT_EQ(header_of(devices().at(0), fleet::header::thing_id), "-");
}

TEST_F(CollectorTest, WhileTheBusTakesNothingNothingIsCommittedAndItSaysSo) {
  bus_->fails = true;
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  start(std::move(config));
  produce("dev1", report(7));
  const auto says_so = [&] {
    const Status ready = collector_->ready();
    return !ready.ok() && ready.error().message.find("kafka/plant: the bus does not take more") != std::string::npos;
  };
  ASSERT_TRUE(eventually(says_so));
  EXPECT_EQ(committed("telemetry"), 0);
  EXPECT_EQ(counted("kafka/plant", "taken"), 0U);
  bus_->fails = false;
  ASSERT_TRUE(eventually([&] { return committed("telemetry") == 1; }));
  EXPECT_THAT(devices(), SizeIs(1));
  EXPECT_TRUE(eventually([&] { return collector_->ready().ok(); }));
}

TEST_F(CollectorTest, WhatWasNotCommittedIsReadAgainAfterAStop) {
  bus_->fails = true;
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  start(std::move(config));
  produce("dev1", report(7));
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  stop();
  EXPECT_EQ(committed("telemetry"), 0);
  bus_->fails = false;
  CollectorConfig next;
  next.kafka.push_back(kafka(source("plant", "key")));
  start(std::move(next));
  ASSERT_TRUE(eventually([&] { return committed("telemetry") == 1; }));
  EXPECT_THAT(devices(), SizeIs(1));
}

class ReplayTest : public CollectorTest {
 protected:
  fleet::DeadLetter bury(const std::string& key, const std::string& payload, const std::string& from = "kafka/plant") {
    fleet::DeadLetter letter;
    letter.source = from;
    letter.reason = "unknown-thing";
    letter.topic = "telemetry";
    letter.key = key;
    letter.partition = 0;
    letter.offset = ++offset_;
    letter.payload = payload;
    letter.received = instant_from_ms(1'700'000'000'000);
    letter.id = fleet::id_of(letter);
    const Status kept = change([&](store::Transaction& tx) -> Status {
      const auto recorded = repository::record_dead_letter(tx, letter);
      if (!recorded) return recorded.error();
      const auto asked = repository::ask_for_replay(tx, letter.id, "ann", letter.received);
      return asked ? Status() : Status(asked.error());
    });
    EXPECT_TRUE(kept.ok());
    return letter;
  }
  std::string state_of(const fleet::DeadLetter& letter) {
    return in_store<repository::StoredLetter>(
               [&](store::Transaction& tx) { return repository::get_dead_letter(tx, letter.id); })
        ->replay;
  }
  std::int64_t offset_ = 0;
};

TEST_F(ReplayTest, ALetterGoesThroughItsSourceOnceMore) {
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  start(std::move(config));
  const auto good = bury("dev1", report(9));
  const auto bad = bury("dev1", "no JSON");
  const auto others = bury("dev1", report(9), "kafka/elsewhere");
  ASSERT_TRUE(eventually([&] { return state_of(good) == "taken" && state_of(bad) == "bad-payload"; }));
  EXPECT_EQ(state_of(others), "waiting") << "another collector's source";
  const auto taken = devices();
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].value, report(9));
  EXPECT_EQ(header_of(taken[0], fleet::header::origin_offset), "-") << "later ones have passed it";
  EXPECT_NE(header_of(taken[0], fleet::header::packet_id), "-");
  EXPECT_EQ(header_of(taken[0], fleet::header::dup), "1") << "a repeat is told apart";
  EXPECT_THAT(letters(), IsEmpty()) << "it is a letter already";
}

TEST_F(CollectorTest, ItTellsThatItIsThereAndThatItLeaves) {
  start({});
  const auto last = [this] {
    const auto all = records(*bus_, fleet::topic::gateways);
    if (all.empty()) return fleet::GatewayHeartbeat();
    return *fleet::gateway_heartbeat_from_json(fleet::parse_cloud_event(*all.back().value)->data);
  };
  ASSERT_TRUE(eventually([&] { return last().instance == "collector-1"; }));
  EXPECT_TRUE(last().collector);
  EXPECT_FALSE(last().stopping);
  EXPECT_GT(last().lease_end, last().time);
  stop();
  EXPECT_TRUE(last().stopping);
}

TEST_F(CollectorTest, ATopicThatIsNotThereIsSaidAndTheOthersAreRead) {
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  config.kafka[0].topics = {"telemetry", "missing"};
  start(std::move(config));
  produce("dev1", report(7));
  ASSERT_TRUE(eventually([&] { return committed("telemetry") == 1; }));
  EXPECT_THAT(collector_->ready().error().message, HasSubstr("kafka/plant/missing"));
}

TEST_F(CollectorTest, AClusterThatIsAwayIsSaidAndWaitedFor) {
  std::atomic<bool> is_there{false};
  CollectorConfig config;
  config.kafka.push_back(kafka(source("plant", "key")));
  config.kafka[0].open = [&is_there, cluster = cluster_]() -> Result<std::shared_ptr<bus::Bus>> {
    if (is_there) return cluster;
    return Error(ErrorCode::unavailable, "no broker answers");
  };
  start(std::move(config));
  ASSERT_TRUE(eventually([&] { return collector_->ready().error().message == "kafka/plant: no broker answers"; }));
  is_there = true;
  ASSERT_TRUE(eventually([&] { return collector_->ready().ok(); }));
}

}  // namespace
}  // namespace fleetward::collector
