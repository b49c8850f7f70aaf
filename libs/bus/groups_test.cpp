#include "bus/groups.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::bus {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Group::Changes poll(Group& group, MemberId member, SteadyTime now) {
  bool gave_up = false;
  auto changes = group.take_changes(member, now, gave_up);
  if (gave_up) group.rebalance(now);
  return changes;
}

std::size_t owned(const Group::Changes& changes) { return changes.assigned.size(); }

TEST(Group, SharesEvenlyAndMovesAsFewAsCanBe) {
  Group group(5);
  const MemberId a = group.join("a", seconds(10), seconds(0));
  group.rebalance(seconds(0));
  EXPECT_EQ(owned(poll(group, a, seconds(0))), 5U);
  const MemberId b = group.join("b", seconds(10), seconds(1));
  group.rebalance(seconds(1));
  EXPECT_THAT(poll(group, a, seconds(1)).revoked, SizeIs(2));
  EXPECT_EQ(owned(poll(group, b, seconds(1))), 0U) << "a has not given them up yet";
  EXPECT_THAT(poll(group, a, seconds(1)).revoked, IsEmpty());
  EXPECT_EQ(owned(poll(group, b, seconds(1))), 2U);
  group.leave(a);
  group.rebalance(seconds(2));
  EXPECT_EQ(owned(poll(group, b, seconds(2))), 3U);
}

TEST(Group, MoreMembersThanPartitionsLeaveSomeIdle) {
  Group group(1);
  const MemberId a = group.join("a", seconds(10), seconds(0));
  const MemberId b = group.join("b", seconds(10), seconds(0));
  group.rebalance(seconds(0));
  EXPECT_EQ(owned(poll(group, a, seconds(0))) + owned(poll(group, b, seconds(0))), 1U);
}

TEST(Group, ASilentMemberIsExpiredToldOnceAndMayJoinAnew) {
  Group group(2);
  const MemberId a = group.join("a", seconds(10), seconds(0));
  const MemberId b = group.join("b", seconds(100), seconds(0));
  group.rebalance(seconds(0));
  ASSERT_EQ(owned(poll(group, a, seconds(0))), 1U);
  ASSERT_EQ(owned(poll(group, b, seconds(0))), 1U);
  EXPECT_FALSE(group.rebalance(seconds(10))) << "just in time";
  EXPECT_TRUE(group.rebalance(std::chrono::milliseconds(10'001)));
  EXPECT_EQ(owned(poll(group, b, seconds(11))), 1U);

  const auto told = poll(group, a, seconds(12));
  EXPECT_EQ(told.standing, Group::Standing::expired);
  EXPECT_THAT(told.lost, SizeIs(1));
  const MemberId again = group.join("a", seconds(10), seconds(12));
  group.rebalance(seconds(12));
  EXPECT_THAT(poll(group, b, seconds(12)).revoked, SizeIs(1));
  poll(group, b, seconds(12));
  EXPECT_EQ(owned(poll(group, again, seconds(12))), 1U);
}

TEST(Group, WhoWasReplacedWhileExpiredMayNotComeBack) {
  Group group(1);
  const MemberId old = group.join("same", seconds(10), seconds(0));
  group.rebalance(seconds(0));
  ASSERT_EQ(owned(poll(group, old, seconds(0))), 1U);
  group.rebalance(seconds(11));
  const MemberId fresh = group.join("same", seconds(10), seconds(12));
  group.rebalance(seconds(12));
  const auto told = poll(group, old, seconds(12));
  EXPECT_EQ(told.standing, Group::Standing::replaced);
  EXPECT_THAT(told.lost, ElementsAre(0));
  EXPECT_EQ(poll(group, old, seconds(12)).standing, Group::Standing::replaced) << "and stays so";
  EXPECT_EQ(owned(poll(group, fresh, seconds(12))), 1U);
}

TEST(Group, AClaimOfAnEarlierAssignmentIsStaleEvenWhenThePartitionCameBack) {
  Group group(1);
  const MemberId a = group.join("m1", seconds(10), seconds(0));
  group.rebalance(seconds(0));
  const auto first = poll(group, a, seconds(0)).assigned.at(0);
  EXPECT_TRUE(group.owns(a, first));
  EXPECT_FALSE(group.owns(a, {0, 0}));
  EXPECT_FALSE(group.owns(a, {1, first.epoch}));
  EXPECT_FALSE(group.owns(a, {-1, first.epoch}));
  const MemberId b = group.join("m0", seconds(10), seconds(1));  // its name comes first: the one partition is its
  group.rebalance(seconds(1));
  ASSERT_THAT(poll(group, a, seconds(1)).revoked, ElementsAre(0));
  poll(group, a, seconds(1));
  ASSERT_EQ(owned(poll(group, b, seconds(1))), 1U);
  group.leave(b);
  group.rebalance(seconds(2));
  const auto second = poll(group, a, seconds(2)).assigned.at(0);
  EXPECT_FALSE(group.owns(a, first));
  EXPECT_TRUE(group.owns(a, second));
}

}  // namespace
}  // namespace fleetward::bus
