// Statistical criteria: what devices add to their cohort, and how they are judged by its snapshots.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detect/test_world.hpp"

namespace fleetward::detect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::World;

std::string behavior(std::string_view name, std::string_view metric, std::string_view op, std::string_view statistic,
                     int seconds = 300, std::string_view more = "") {
  return fmt::format(
      R"({{"name":"{}","metric":"{}"{},"criteria":{{"comparisonOperator":"{}","durationSeconds":{},
      "statisticalThreshold":{{"statistic":"{}"}}}}}})",
      name, metric, more, op, seconds, statistic);
}

class Statistical : public ::testing::Test {
 protected:
  static constexpr std::int64_t first_pane = World::start_ms / 300'000;
  static constexpr std::string_view ports_cohort = "p/aws:num-listening-tcp-ports/300";

  void profile(std::initializer_list<std::string> behaviors) {
    world_.profile("p", fmt::format("[{}]", fmt::join(behaviors, ",")));
  }
  // Of the statistics only p90 (or p10) is told, in a range.
  static fleet::CohortSnapshot snapshot(std::string_view cohort, std::int64_t number, double low, double high,
                                        std::int64_t devices = 120, std::int64_t panes = 5) {
    fleet::CohortSnapshot s;
    s.cohort = cohort;
    s.number = number;
    s.devices = devices;
    s.panes = panes;
    s.statistics[4] = s.statistics[6] = {low, high};
    return s;
  }
  void apply(const fleet::CohortSnapshot& s) {
    world_.hold(s);
    world_.cohort_mark({{s.cohort, s.number}});
  }
  void listening(const std::string& thing, int total) {
    world_.report(thing, fmt::format(R"({{"listening_tcp_ports":{{"ports":[],"total":{}}}}})", total));
  }
  // "COHORT pane of 3: 2 to 7", of each sample that has values.
  std::vector<std::string> samples() {
    std::vector<std::string> out;
    for (const fleet::CohortSample& s : world_.engine().take_samples()) {
      const auto sketch = Sketch::decode(s.sketch);
      EXPECT_TRUE(sketch.ok());
      if (sketch->is_empty()) continue;
      out.push_back(fmt::format("{} {} of {}: {} to {}", s.cohort, s.pane - first_pane, sketch->count(),
                                sketch->percentile(0).low, sketch->percentile(10'000).high));
    }
    return out;
  }
  std::uint64_t count(Outcome outcome) { return world_.engine().counters()[outcome]; }
  World world_;
};

TEST_F(Statistical, TheOneFarOutAlarmsAndItsPeersDoNot) {
  profile({behavior("b", "aws:num-listening-tcp-ports", "less-than-equals", "p90")});
  EXPECT_EQ(world_.engine().behaviors_not_evaluated(), 0U);
  listening("v1", 500);
  EXPECT_THAT(world_.events(), IsEmpty()) << "there is nothing to compare with yet";
  apply(snapshot(ports_cohort, first_pane - 1, 4, 4.03));
  listening("v1", 4);
  listening("v2", 5);
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v2 b"));
  EXPECT_EQ(world_.last().expected, fmt::format("number of listening TCP ports at most the fleet's p90, 4, of 120 "
                                                "devices (snapshot {})",
                                                first_pane - 1));
  EXPECT_EQ(world_.last().seen, "5");
  listening("v2", 4);
  EXPECT_THAT(world_.events(), ElementsAre("alarm-cleared v2 b"));
}

TEST_F(Statistical, TheSketchsErrorMakesNoAlarmOnEitherSide) {
  profile({behavior("high", "aws:num-listening-tcp-ports", "less-than-equals", "p90"),
           behavior("low", "aws:num-listening-tcp-ports", "greater-than-equals", "p10")});
  apply(snapshot(ports_cohort, first_pane - 1, 1000, 1007.9));
  for (const int total : {1000, 1003, 1007}) listening("v1", total);
  EXPECT_THAT(world_.events(), IsEmpty());
  listening("v1", 1008);
  listening("v2", 999);
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v1 high", "in-alarm v2 low"));
}

TEST_F(Statistical, ItTakesDevicesPanesAndASnapshotThatIsYoung) {
  profile({behavior("b", "aws:num-listening-tcp-ports", "less-than-equals", "p90")});
  apply(snapshot(ports_cohort, first_pane - 4, 4, 4, judging_devices_min - 1));
  listening("v1", 50);
  apply(snapshot(ports_cohort, first_pane - 3, 4, 4, judging_devices_min, judging_panes_min - 1));
  listening("v1", 50);
  EXPECT_THAT(world_.events(), IsEmpty());
  apply(snapshot(ports_cohort, first_pane - 2, 4, 4, judging_devices_min, judging_panes_min));
  listening("v1", 50);
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v1 b"));
  world_.at((judging_panes_age_max - 2) * 300);  // the last pane in which it judges
  listening("v2", 50);
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v2 b"));
  world_.at((judging_panes_age_max - 1) * 300);
  listening("v1", 1);
  listening("v3", 50);
  EXPECT_THAT(world_.events(), IsEmpty()) << "neither raised nor cleared by what is no longer true";
}

TEST_F(Statistical, OnlyTheNewestOwnersMarksOfNewerSnapshotsCount) {
  profile({behavior("b", "aws:num-listening-tcp-ports", "less-than-equals", "p90")});
  apply(snapshot(ports_cohort, first_pane - 1, 4, 4));
  EXPECT_EQ(count(Outcome::cohorts_applied), 1U);
  world_.hold(snapshot(ports_cohort, first_pane - 2, 400, 400));
  world_.hold(snapshot(ports_cohort, first_pane, 400, 400));
  world_.cohort_mark({{std::string(ports_cohort), first_pane - 2}});
  world_.cohort_mark({{"of/nobody/300", first_pane}});
  EXPECT_EQ(count(Outcome::cohorts_superseded), 2U);
  world_.cohort_mark({{std::string(ports_cohort), first_pane}}, "another");
  EXPECT_EQ(count(Outcome::cohorts_stale), 1U);
  world_.add("cohorts", "", "{}");
  EXPECT_EQ(count(Outcome::cohorts_rejected), 1U);
  listening("v1", 50);
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v1 b")) << "the first one still applies";
}

TEST_F(Statistical, AMarkWaitsForItsSnapshotUnlessThatIsTooOldToJudge) {
  profile({behavior("b", "aws:num-listening-tcp-ports", "less-than-equals", "p90")});
  const auto can_apply = [&](std::int64_t number) {
    testing::LogRecord record;
    record.kind = "cohorts";
    record.value = json::dump(to_json(fleet::CohortMark{"b1", {{std::string(ports_cohort), number}}}));
    return world_.engine().can_apply(record.view());
  };
  EXPECT_FALSE(can_apply(first_pane - 1));
  EXPECT_FALSE(can_apply(first_pane - judging_panes_age_max));
  EXPECT_TRUE(can_apply(first_pane - judging_panes_age_max - 1)) << "it may be gone for good";
  world_.hold(snapshot(ports_cohort, first_pane - 1, 4, 4));
  EXPECT_TRUE(can_apply(first_pane - 1));
}

TEST_F(Statistical, ADeviceHasOneVoteAPane) {
  profile({behavior("high", "aws:num-listening-tcp-ports", "less-than-equals", "p90"),
           behavior("low", "aws:num-listening-tcp-ports", "greater-than-equals", "p10")});
  listening("v1", 3);
  listening("v1", 7);  // the last one counts
  listening("v2", 0);
  EXPECT_THAT(samples(), IsEmpty()) << "the pane is not over";
  world_.at(301).tick();
  EXPECT_THAT(samples(), ElementsAre("p/aws:num-listening-tcp-ports/300 0 of 2: 0 to 7"));
  listening("v2", 4);
  world_.at(601).tick();
  EXPECT_THAT(samples(), ElementsAre("p/aws:num-listening-tcp-ports/300 1 of 1: 4 to 4")) << "v1 said nothing";
}

TEST_F(Statistical, APaneWithoutValuesIsToldToo) {
  profile({behavior("b", "aws:num-disconnects", "less-than-equals", "p90")});
  world_.at(301).tick();
  const auto told = world_.engine().take_samples();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].partition, 7);
  EXPECT_EQ(told[0].pane, first_pane);
  EXPECT_TRUE(Sketch::decode(told[0].sketch)->is_empty());
}

TEST_F(Statistical, ASumVotesOfATimeThatWasSeenWhole) {
  profile({behavior("b", "aws:all-bytes-out", "less-than-equals", "p90", 600)});
  for (int pane = 0; pane < 4; ++pane) {
    world_.at(pane * 300 + 10);
    world_.bytes_out("v1", 100 * (pane + 1));
  }
  world_.at(1201).tick();
  EXPECT_THAT(samples(),
              ElementsAre("p/aws:all-bytes-out/600 2 of 1: 500 to 500", "p/aws:all-bytes-out/600 3 of 1: 700 to 700"))
      << "the first two panes are not known whole";
}

TEST_F(Statistical, ASumOverThePercentileRaisesAtOnce) {
  profile({behavior("b", "aws:all-bytes-out", "less-than", "p90")});
  apply(snapshot("p/aws:all-bytes-out/300", first_pane - 1, 1000, 1004));
  world_.bytes_out("v1", 600);
  EXPECT_THAT(world_.events(), IsEmpty());
  world_.bytes_out("v1", 600);
  EXPECT_THAT(world_.events(), ElementsAre("in-alarm v1 b"));
  EXPECT_THAT(world_.last().expected, HasSubstr("bytes out below the fleet's p90, 1004 in 5 minutes, of 120 devices"));
}

TEST_F(Statistical, OfMessageSizesTheOneNearestToBreakingSpeaks) {
  profile({behavior("big", "aws:message-byte-size", "less-than-equals", "p90"),
           behavior("small", "aws:message-byte-size", "greater-than-equals", "p10")});
  for (const double size : {300.0, 80.0, 200.0}) {
    fleet::CloudMetrics m;
    m.connected = true;
    m.metrics["aws:message-byte-size"] = {2, 2 * size, size - 10, size};
    world_.cloud("v1", m);
  }
  world_.at(301).tick();
  EXPECT_THAT(samples(), ElementsAre("p/aws:message-byte-size/300/max 0 of 1: 300 to 300",
                                     "p/aws:message-byte-size/300/min 0 of 1: 70 to 70"));
}

TEST_F(Statistical, ACohortIsOfOneVersionOfADimension) {
  world_.dimension("bulk", {"data/#"});
  const std::string narrow = behavior("b", "aws:num-messages-sent", "less-than-equals", "p90", 300,
                                      R"(,"metricDimension":{"dimensionName":"bulk","operator":"NOT_IN"})");
  profile({narrow});
  EXPECT_THAT(world_.engine().cohorts().names(), ElementsAre("p/aws:num-messages-sent/300/NOT_IN/bulk@1"));
  world_.dimension("bulk", {"other/#"});
  EXPECT_THAT(world_.engine().cohorts().names(), ElementsAre("p/aws:num-messages-sent/300/NOT_IN/bulk@2"));
}

TEST_F(Statistical, MoreCohortsThanThereMayBeAreCounted) {
  for (int profile = 0; profile < 3; ++profile) {
    std::string list;
    for (int i = 0; i < 95; ++i) {
      const std::string metric = fmt::format("cpu{}", i);
      if (profile == 0) world_.custom_metric(metric, fleet::CustomMetricType::number);
      list += (i == 0 ? "" : ",") + behavior(fmt::format("b{}", i), metric, "less-than", "p50");
    }
    world_.profile(fmt::format("p{}", profile), fmt::format("[{}]", list));
  }
  listening("v1", 1);
  EXPECT_EQ(world_.engine().cohorts().names().size(), fleet::cohorts_max);
  EXPECT_EQ(world_.engine().behaviors_not_evaluated(), 3 * 95 - fleet::cohorts_max);
}

TEST_F(Statistical, ACheckpointKnowsWhatAppliesAndWhatThePaneHas) {
  profile({behavior("b", "aws:num-listening-tcp-ports", "less-than-equals", "p90")});
  apply(snapshot(ports_cohort, first_pane - 1, 4, 4));
  listening("v1", 3);
  listening("v2", 9);
  const std::string own = world_.engine().partition_record();
  const Snapshots none;
  PartitionEngine early(7, world_.rules(), none);
  EXPECT_EQ(early.restore_partition(own).error().code, ErrorCode::failed_precondition) << "its snapshot is not here";
  PartitionEngine again(7, world_.rules(), world_.snapshots());
  for (const StateChange& change : world_.engine().take_changes()) {
    ASSERT_TRUE(again.restore_device(change.key, *change.value).ok());
  }
  ASSERT_TRUE(again.restore_partition(own).ok());
  const std::size_t from = world_.log().size();
  listening("v3", 5);
  world_.at(301).tick();
  std::vector<fleet::ViolationEvent> out;
  for (std::size_t i = from; i < world_.log().size(); ++i) again.apply(world_.log()[i].view(), out);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0], world_.last());
  EXPECT_EQ(again.take_samples(), world_.engine().take_samples());
  EXPECT_EQ(again.partition_record(), world_.engine().partition_record());
}

}  // namespace
}  // namespace fleetward::detect
