#include "bus/kafka_stall.hpp"

#include <gtest/gtest.h>

namespace fleetward::bus::kafka {
namespace {

class StallWatchTest : public ::testing::Test {
 protected:
  async::VirtualScheduler scheduler_{instant_from_ms(0)};
  StallWatch watch_{scheduler_};
};

TEST_F(StallWatchTest, NothingReadWhileTheEndMovesOnIsAStall) {
  watch_.note_progress(0, 10);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  scheduler_.run_for(StallWatch::limit - Millis(1));
  EXPECT_FALSE(watch_.is_stalled(0, 12)) << "not for long enough";
  scheduler_.run_for(Millis(1));
  EXPECT_TRUE(watch_.is_stalled(0, 12));
}

TEST_F(StallWatchTest, TheLastRecordThatDoesNotComeIsAStall) {
  watch_.note_progress(0, 10);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  scheduler_.run_for(StallWatch::limit - Millis(1));
  EXPECT_FALSE(watch_.is_stalled(0, 11)) << "not for long enough";
  scheduler_.run_for(Millis(1));
  EXPECT_TRUE(watch_.is_stalled(0, 11));
}

TEST_F(StallWatchTest, AnEndThatStaysIsNoneOnceTheClientHasReadToIt) {
  // What stands above may be of a transaction that is open: then it is not read yet.
  watch_.note_progress(0, 10);
  watch_.note_end(0, 10);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  scheduler_.run_for(2 * StallWatch::limit);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  EXPECT_TRUE(watch_.is_stalled(0, 12)) << "but more and more comes";
}

TEST_F(StallWatchTest, AMarkOfTheEndCoversWhatIsNoRecord) {
  watch_.note_progress(0, 10);
  watch_.note_end(0, 11);
  scheduler_.run_for(2 * StallWatch::limit);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  scheduler_.run_for(2 * StallWatch::limit);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
}

TEST_F(StallWatchTest, ARecordAfterTheEndNeedsAnotherMark) {
  watch_.note_progress(0, 10);
  watch_.note_end(0, 10);
  watch_.note_progress(0, 11);
  scheduler_.run_for(StallWatch::limit);
  EXPECT_TRUE(watch_.is_stalled(0, 12));
}

TEST_F(StallWatchTest, TimeInWhichItCouldNotReadDoesNotCount) {
  watch_.note_progress(0, 10);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  scheduler_.run_for(2 * StallWatch::limit);
  watch_.begin_anew(0);
  EXPECT_FALSE(watch_.is_stalled(0, 12));
  scheduler_.run_for(StallWatch::limit);
  EXPECT_TRUE(watch_.is_stalled(0, 12));
}

TEST_F(StallWatchTest, ProgressBeginsItAnew) {
  watch_.note_progress(0, 10);
  EXPECT_FALSE(watch_.is_stalled(0, 20));
  scheduler_.run_for(StallWatch::limit);
  watch_.note_progress(0, 11);
  EXPECT_FALSE(watch_.is_stalled(0, 30));
  EXPECT_FALSE(watch_.is_stalled(0, 31));
  scheduler_.run_for(StallWatch::limit);
  EXPECT_TRUE(watch_.is_stalled(0, 32));
}

TEST_F(StallWatchTest, TimeWithNothingToReadDoesNotCount) {
  watch_.note_progress(0, 10);
  scheduler_.run_for(2 * StallWatch::limit);
  EXPECT_FALSE(watch_.is_stalled(0, 10));
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  EXPECT_FALSE(watch_.is_stalled(0, 12));
}

TEST_F(StallWatchTest, WhatIsNotOwnedIsNotJudged) {
  watch_.note_progress(0, 10);
  EXPECT_FALSE(watch_.is_stalled(0, 11));
  scheduler_.run_for(StallWatch::limit);
  watch_.forget(0);
  watch_.note_end(0, 11);
  EXPECT_FALSE(watch_.is_stalled(0, 12));
}

TEST_F(StallWatchTest, TheEndsAreAskedForEverySoOften) {
  EXPECT_FALSE(watch_.is_due());
  scheduler_.run_for(StallWatch::ask_every);
  EXPECT_TRUE(watch_.is_due());
  EXPECT_FALSE(watch_.is_due());
}

}  // namespace
}  // namespace fleetward::bus::kafka
