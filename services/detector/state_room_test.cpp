#include "services/detector/state_room.hpp"

#include <gtest/gtest.h>

namespace fleetward::detector {
namespace {

TEST(StateRoom, IsUpToTheLimitAndNotBeyond) {
  EXPECT_TRUE(has_room(40, 60, 100));
  EXPECT_FALSE(has_room(41, 60, 100));
  EXPECT_FALSE(has_room(SIZE_MAX, 60, 100));
  EXPECT_FALSE(has_room(1, 120, 100)) << "what is held has grown over it";
}

TEST(StateRoom, OfAnUnknownStateIsAnythingThatIsLeft) {
  EXPECT_TRUE(has_room(0, 99, 100));
  EXPECT_FALSE(has_room(0, 100, 100));
}

TEST(StateRoom, IsTakenByTheFirstThatFits) {
  EXPECT_EQ(next_to_take({{3, 50}, {5, 40}, {6, 10}}, 60, 100), 5);
  EXPECT_EQ(next_to_take({{3, 50}, {5, 0}}, 60, 100), 5);
  EXPECT_EQ(next_to_take({{3, 50}}, 60, 100), std::nullopt);
  EXPECT_EQ(next_to_take({{3, 101}}, 0, 100), std::nullopt) << "also alone it is too large";
  EXPECT_EQ(next_to_take({}, 0, 100), std::nullopt);
}

TEST(StateRoom, IsMadeByTheSmallestThatIsEnough) {
  EXPECT_EQ(next_to_leave({{1, 50}, {2, 20}, {3, 40}}, 100), 2);
  EXPECT_EQ(next_to_leave({{1, 50}, {2, 20}, {3, 40}}, 75), 3);
  EXPECT_EQ(next_to_leave({{1, 50}, {2, 20}, {3, 40}}, 10), 1) << "none is: the one that brings most";
}

TEST(StateRoom, IsNotMadeWithoutNeedNorOfThePartitionThatIsAlone) {
  EXPECT_EQ(next_to_leave({{1, 50}, {2, 50}}, 100), std::nullopt);
  EXPECT_EQ(next_to_leave({{1, 500}}, 100), std::nullopt);
  EXPECT_EQ(next_to_leave({}, 0), std::nullopt);
}

}  // namespace
}  // namespace fleetward::detector
