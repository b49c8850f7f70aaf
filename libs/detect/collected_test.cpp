// Collected reports: what is read again counts once, and what nobody vouches for is marked.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detect/test_world.hpp"

namespace fleetward::detect {
namespace {

using testing::LogRecord;
using testing::World;

constexpr std::string_view listeners =
    R"([{"name":"listeners","metric":"aws:listening-tcp-ports",
        "criteria":{"comparisonOperator":"in-port-set","value":{"ports":[22]}}},
       {"name":"attempts","metric":"aws:num-connection-attempts",
        "criteria":{"comparisonOperator":"less-than","value":{"count":2},"durationSeconds":300}}])";

class CollectedTest : public ::testing::Test {
 protected:
  void SetUp() override { world_.profile("p", listeners); }
  void report(const std::string& thing, std::int64_t offset, int port = 22, bool claimed = false,
              const std::string& origin = "kafka/plant/t", std::int32_t partition = 3) {
    LogRecord r;
    r.append_ms = world_.now_ms();
    r.kind = "report";
    r.key = thing;
    r.value =
        World::report_text(fmt::format(R"({{"listening_tcp_ports":{{"ports":[{{"port":{}}}],"total":1}}}})", port));
    r.origin = origin;
    r.origin_partition = offset < 0 ? -1 : partition;
    r.origin_offset = offset;
    r.claimed = claimed;
    world_.add(std::move(r));
  }
  std::uint64_t count(Outcome outcome) { return world_.engine().counters()[outcome]; }

  World world_;
};

TEST_F(CollectedTest, AReportNotAboveTheLastOffsetOfItsPlaceIsADuplicate) {
  report("v1", 5);
  report("v1", 5);
  report("v1", 4);
  EXPECT_EQ(count(Outcome::report_applied), 1U);
  EXPECT_EQ(count(Outcome::report_duplicate), 2U);
  report("v1", 6);
  EXPECT_EQ(count(Outcome::report_applied), 2U);
}

TEST_F(CollectedTest, EachDevicePartitionAndOriginHasOffsetsOfItsOwn) {
  report("v1", 5);
  report("v2", 4);
  report("v1", 4, 22, false, "kafka/plant/t", 2);
  report("v1", 3, 22, false, "kafka/plant/other");
  report("v1", -1);
  EXPECT_EQ(count(Outcome::report_applied), 5U);
}

TEST_F(CollectedTest, AReportThatIsRefusedDoesNotMoveTheOffset) {
  LogRecord r;
  r.append_ms = world_.now_ms();
  r.kind = "report";
  r.key = "v1";
  r.value = "no JSON";
  r.origin = "kafka/plant/t";
  r.origin_partition = 3;
  r.origin_offset = 9;
  world_.add(std::move(r));
  report("v1", 8);
  EXPECT_EQ(count(Outcome::report_rejected_payload), 1U);
  EXPECT_EQ(count(Outcome::report_applied), 1U);
}

TEST_F(CollectedTest, OfMoreOriginsThanAreRememberedTheOldestIsForgotten) {
  for (int i = 0; i <= static_cast<int>(remembered_origins); ++i)
    report("v1", 5, 22, false, fmt::format("kafka/{}/t", i));
  report("v1", 5, 22, false, "kafka/1/t");
  EXPECT_EQ(count(Outcome::report_duplicate), 1U);
  report("v1", 5, 22, false, "kafka/0/t");
  EXPECT_EQ(count(Outcome::report_duplicate), 1U) << "this one is forgotten";
}

TEST_F(CollectedTest, AViolationSaysThatNobodyVouches) {
  report("v1", 1, 23, true);
  ASSERT_EQ(world_.out().size(), 1U);
  EXPECT_TRUE(world_.out()[0].claimed);
  report("v2", 2, 23);
  EXPECT_FALSE(world_.out().back().claimed);
}

TEST_F(CollectedTest, ItIsSaidForADayAfterTheLastSuchReport) {
  report("v1", 1, 22, true);
  world_.at(23 * 3'600);
  report("v1", 2, 23);
  ASSERT_EQ(world_.out().size(), 1U);
  EXPECT_TRUE(world_.out()[0].claimed) << "windows may hold what the claimed one said";
  report("v1", 3, 22);
  world_.at(25 * 3'600);
  report("v1", 4, 23);
  EXPECT_FALSE(world_.out().back().claimed);
}

// What a checkpoint of the version before had: no origins, no claims.
TEST(DeviceCheckpoint, OfTheVersionBeforeIsRead) {
  Device device;
  device.facts = std::make_shared<const Facts>();
  device.program = std::make_shared<const Program>();
  device.reports.fill(0x0123456789abcdef);
  device.origins = {{7, 9}};
  device.claimed_ms = 11;
  const std::string now = encode(device);
  Device same;
  ASSERT_TRUE(decode(now, same).ok());
  ASSERT_EQ(same.origins.size(), 1U);
  EXPECT_EQ(same.origins[0].offset, 9);
  EXPECT_EQ(same.claimed_ms, 11);

  const std::string last_report("\xef\xcd\xab\x89\x67\x45\x23\x01", 8);
  const std::size_t behind = now.rfind(last_report) + last_report.size();
  std::string before = now;
  before.erase(behind, 1 + 16 + 8);
  before[0] = 1;
  Device old;
  ASSERT_TRUE(decode(before, old).ok());
  EXPECT_TRUE(old.origins.empty());
  EXPECT_EQ(old.claimed_ms, never);
  EXPECT_EQ(old.reports, device.reports);
  before[0] = 3;
  const auto downgrade = decode(before, old);
  ASSERT_FALSE(downgrade.ok());
  EXPECT_EQ(downgrade.error().code, ErrorCode::unsupported);
  EXPECT_THAT(downgrade.error().message,
              ::testing::HasSubstr("version 3, this program knows 2: run the fleetward that"));
}

}  // namespace
}  // namespace fleetward::detect
