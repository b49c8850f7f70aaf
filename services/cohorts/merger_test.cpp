#include "services/cohorts/merger.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "detect/cohorts.hpp"
#include "detect/sketch.hpp"

namespace fleetward::cohorts {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Taken = Merger::Taken;
constexpr std::int64_t first = 5'000'000;  // a pane
constexpr Millis late_after{60'000};

class MergerTest : public ::testing::Test {
 protected:
  Taken say(std::int32_t partition, std::int64_t pane, int devices, double value = 5, const std::string& cohort = "c") {
    detect::Sketch sketch;
    for (int i = 0; i < devices; ++i) sketch.add(value);
    return merger_.take({cohort, partition, first + pane, sketch.encode()}, offset_++, now_);
  }
  // "c@0 20 1 0:0 1:0": cohort, pane, devices, panes in a row, and the pane of each source.
  static std::string text(const fleet::CohortSnapshot& s) {
    std::string out = fmt::format("{}@{} {} {}", s.cohort, s.number - first, s.devices, s.panes);
    for (const auto& source : s.sources) out += fmt::format(" {}:{}", source.partition, source.pane - first);
    return out;
  }
  std::vector<std::string> publish() {
    std::vector<std::string> out;
    for (const fleet::CohortSnapshot& snapshot : merger_.due(now_)) {
      merger_.note(snapshot);
      out.push_back(text(snapshot));
    }
    return out;
  }
  Merger merger_{2, late_after};
  std::int64_t offset_ = 0;
  std::chrono::nanoseconds now_{0};
};

TEST_F(MergerTest, APaneIsDueWhenEachPartitionHasSentIt) {
  say(0, 0, 12);
  EXPECT_THAT(publish(), IsEmpty());
  say(1, 0, 8);
  EXPECT_THAT(publish(), ElementsAre("c@0 20 1 0:0 1:0"));
  EXPECT_THAT(publish(), IsEmpty()) << "once";
  say(1, 1, 8);
  say(0, 1, 12);
  say(1, 2, 1);
  say(0, 2, 2);
  EXPECT_THAT(publish(), ElementsAre("c@1 20 2 0:1 1:1", "c@2 3 0 0:2 1:2")) << "three devices are not enough";
}

TEST_F(MergerTest, WhoeverIsLateIsStoodInForByItsPaneBefore) {
  say(0, 0, 12);
  say(1, 0, 8);
  publish();
  say(0, 1, 12);
  now_ += late_after - Millis(1);
  EXPECT_THAT(publish(), IsEmpty());
  now_ += Millis(1);
  EXPECT_THAT(publish(), ElementsAre("c@1 20 2 0:1 1:0"));
  say(0, 2, 12);
  EXPECT_EQ(say(1, 1, 9), Taken::late) << "its own pane is published";
  now_ += late_after;
  EXPECT_THAT(publish(), ElementsAre("c@2 21 3 0:2 1:1")) << "it goes into the next";
  say(0, 3, 12);
  say(0, 4, 12);
  now_ += late_after;
  EXPECT_THAT(publish(), ElementsAre("c@3 21 4 0:3 1:1", "c@4 12 5 0:4")) << "but not for ever";
  EXPECT_EQ(say(1, 2, 9), Taken::late);
}

TEST_F(MergerTest, ARepeatReplaces) {
  EXPECT_EQ(say(0, 0, 12), Taken::kept);
  EXPECT_EQ(say(0, 0, 12), Taken::repeated);
  say(1, 0, 8);
  EXPECT_THAT(publish(), ElementsAre("c@0 20 1 0:0 1:0"));
}

TEST_F(MergerTest, TheSameSamplesGiveTheSameSnapshotInAnyOrder) {
  std::vector<fleet::CohortSample> samples;
  for (int partition = 0; partition < 16; ++partition) {
    detect::Sketch sketch;
    for (int i = 0; i < 200; ++i) sketch.add(1.5 * i * (partition + 1));
    samples.push_back({"c", partition, first, sketch.encode()});
  }
  std::vector<fleet::CohortSnapshot> made;
  for (int turn = 0; turn < 2; ++turn) {
    Merger merger(16, late_after);
    for (const auto& sample : samples) EXPECT_EQ(merger.take(sample, 0, now_), Taken::kept);
    ASSERT_EQ(merger.due(now_).size(), 1U);
    made.push_back(merger.due(now_)[0]);
    std::reverse(samples.begin(), samples.end());
  }
  EXPECT_EQ(json::dump(to_json(made[0])), json::dump(to_json(made[1])));
  EXPECT_EQ(made[0].devices, 16 * 200);
  EXPECT_LE(made[0].statistics[5].low, made[0].statistics[5].high);
  EXPECT_EQ(made[0].statistics[10].high, 1.5 * 199 * 16);
}

TEST_F(MergerTest, WhatIsNoSampleIsRefused) {
  EXPECT_EQ(merger_.take({"c", 2, first, detect::Sketch().encode()}, 0, now_), Taken::refused) << "no such partition";
  EXPECT_EQ(merger_.take({"c", 0, first, "no sketch"}, 0, now_), Taken::refused);
  for (std::size_t i = 0; i < Merger::cohorts_max; ++i) say(0, 0, 1, 1, fmt::format("c{}", i));
  EXPECT_EQ(say(0, 0, 1, 1, "one more"), Taken::refused);
  EXPECT_EQ(say(1, 0, 1, 1, "c7"), Taken::kept);
}

TEST_F(MergerTest, APartitionThatIsFarBehindHoldsNobodyUp) {
  for (std::size_t pane = 0; pane <= Merger::panes_max; ++pane) say(0, static_cast<std::int64_t>(pane), 12);
  EXPECT_THAT(publish(), ElementsAre("c@0 12 1 0:0")) << "it is not late yet, but too much waits";
}

TEST_F(MergerTest, WhatIsHeldIsReadAgainAfterARestart) {
  EXPECT_EQ(merger_.needed_from(77), 77);
  for (int pane = 0; pane < 5; ++pane) {
    say(0, pane, 12);
    say(1, pane, 8);
  }
  const auto snapshots = merger_.due(now_);
  ASSERT_EQ(snapshots.size(), 5U);
  publish();
  const std::int64_t from = merger_.needed_from(offset_);
  EXPECT_EQ(from, 6) << "two panes may stand in for the next";
  Merger again(2, late_after);
  for (const auto& snapshot : snapshots) again.note(snapshot);
  detect::Sketch sketch;
  for (int i = 0; i < 12; ++i) sketch.add(5);
  for (int pane = 3; pane < 6; ++pane) again.take({"c", 0, first + pane, sketch.encode()}, 0, now_);
  EXPECT_THAT(again.due(now_), IsEmpty());
  const auto due = again.due(now_ + late_after);
  ASSERT_EQ(due.size(), 1U) << "what is published is not published again";
  EXPECT_EQ(text(due[0]), "c@5 12 6 0:5");
}

TEST_F(MergerTest, OldSnapshotsMayGoAndSilentCohortsAreLetGo) {
  say(0, 0, 12, 5, "old");
  say(1, 0, 12, 5, "old");
  EXPECT_THAT(publish(), ElementsAre("old@0 24 1 0:0 1:0"));
  say(0, Merger::snapshot_panes_kept, 12);
  EXPECT_THAT(merger_.outdated(10), IsEmpty());
  EXPECT_EQ(merger_.needed_from(offset_), 2) << "only the newer cohort is held";
  say(0, Merger::snapshot_panes_kept + 1, 12);
  EXPECT_THAT(merger_.outdated(10), ElementsAre(fleet::cohort_snapshot_key("old", first)));
  EXPECT_THAT(merger_.outdated(0), IsEmpty());
  merger_.forget(fleet::cohort_snapshot_key("old", first));
  EXPECT_THAT(merger_.outdated(10), IsEmpty());
}

}  // namespace
}  // namespace fleetward::cohorts
