#include "services/detector/partition.hpp"

#include <gtest/gtest.h>

namespace fleetward::detector {
namespace {

constexpr Millis at_least{3'000};
constexpr Millis at_most{60'000};

TEST(CheckpointPause, IsTheShortestWhileFewDevicesChange) {
  EXPECT_EQ(checkpoint_pause(0, at_least, at_most), at_least);
  EXPECT_EQ(checkpoint_pause(37'500, at_least, at_most), at_least);
}

TEST(CheckpointPause, GrowsWithWhatACheckpointCosts) {
  EXPECT_EQ(checkpoint_pause(100'000, at_least, at_most), Millis(8'000));
  EXPECT_EQ(checkpoint_pause(500'000, at_least, at_most), Millis(40'000));
}

TEST(CheckpointPause, EndsAtWhatMayBeReadAgain) {
  EXPECT_EQ(checkpoint_pause(1'000'000, at_least, at_most), at_most);
  EXPECT_EQ(checkpoint_pause(1'000'000'000, at_least, at_most), at_most);
}

}  // namespace
}  // namespace fleetward::detector
