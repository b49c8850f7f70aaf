// Behaviors that look through a dimension: what is judged of what a gateway says, and what of its silence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detect/test_world.hpp"

namespace fleetward::detect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::World;

std::string narrow(std::string_view name, std::string_view metric, std::string_view side, std::string_view criteria) {
  return fmt::format(
      R"({{"name":"{}","metric":"{}","metricDimension":{{"dimensionName":"bulk","operator":"{}"}},"criteria":{}}})",
      name, metric, side, criteria);
}
std::string sent(std::string_view name, std::string_view side, std::string_view op, int count) {
  return narrow(
      name, "aws:num-messages-sent", side,
      fmt::format(R"({{"comparisonOperator":"{}","value":{{"count":{}}},"durationSeconds":300}})", op, count));
}
std::string list(const std::vector<std::string>& behaviors) { return fmt::format("[{}]", fmt::join(behaviors, ",")); }

// Of `all` messages `in` were on topics of the dimension.
fleet::CloudMetrics messages(std::int64_t all, std::int64_t in, const fleet::DimensionVersion& version) {
  const auto delta = [](std::int64_t count) {
    return fleet::MetricDelta{count, static_cast<double>(count), count > 0 ? 1.0 : 0.0, count > 0 ? 1.0 : 0.0};
  };
  const std::string name = "aws:num-messages-sent";
  fleet::CloudMetrics m;
  m.connected = true;
  m.metrics = {{name, delta(all)}};
  if (in > 0) m.dimensions.push_back({version, false, {{name, delta(in)}}, {}});
  if (all > in) m.dimensions.push_back({version, true, {{name, delta(all - in)}}, {}});
  return m;
}

TEST(Dimensions, InAndNotInAndTheWholeAreSeriesOfTheirOwn) {
  World w;
  const auto bulk = w.dimension("bulk", {"data/#"});
  const std::string whole =
      R"({"name":"whole","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than",
          "value":{"count":100},"durationSeconds":300}})";
  w.profile("p", list({sent("in", "IN", "less-than", 10), sent("out", "NOT_IN", "less-than", 20), whole}));
  EXPECT_EQ(w.engine().behaviors_not_evaluated(), 0U);
  w.counting({bulk});
  w.cloud("v1", messages(28, 9, bulk));
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(20).cloud("v1", messages(1, 1, bulk));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 in"));
  EXPECT_EQ(w.last().value->count, 10);
  EXPECT_EQ(w.last().expected, "messages sent on topics of bulk below 10 in 5 minutes");
  EXPECT_EQ(w.last().behavior.dimension, (fleet::MetricDimension{"bulk", false}));
  EXPECT_TRUE(w.last().gateway_seen);
  w.at(30).cloud("v1", messages(1, 0, bulk));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 out"));
  EXPECT_EQ(w.last().expected, "messages sent on topics outside bulk below 20 in 5 minutes");
  w.at(40).cloud("v1", messages(69, 1, bulk));
  EXPECT_THAT(w.events(), IsEmpty()) << "99 in all";
  w.at(50).cloud("v1", messages(1, 1, bulk));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 whole"));
  w.at(601).tick();
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 in", "alarm-cleared v1 out", "alarm-cleared v1 whole"))
      << "a connected device without traffic has zero in each";
}

TEST(Dimensions, CountsOfAnotherVersionAreNotJudged) {
  World w;
  const auto first = w.dimension("bulk", {"data/#"});
  w.profile("p", list({sent("in", "IN", "less-than", 10)}));
  w.counting({first});
  w.cloud("v1", messages(9, 9, first));
  const auto second = w.dimension("bulk", {"other/#"});
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(10).cloud("v1", messages(9, 9, first));
  w.at(20).cloud("v1", messages(9, 9, second));
  EXPECT_THAT(w.events(), IsEmpty()) << "9 under the definition in force";
  EXPECT_EQ(w.engine().counters().other_dimension_counts, 1U);
  w.at(30).cloud("v1", messages(9, 9, {"bulk", 3}));  // of one that is not in force yet
  EXPECT_THAT(w.events(), IsEmpty());
  EXPECT_EQ(w.engine().counters().other_dimension_counts, 2U);
  w.at(40).cloud("v1", messages(1, 1, second));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 in"));
  w.dimension("bulk", {"third/#"});
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated v1 in"));
  EXPECT_EQ(w.last().reason, "the dimension of the behavior was changed");
}

TEST(Dimensions, ANewVersionOfOneLeavesWhatDoesNotUseItAsItWas) {
  World w;
  w.dimension("other", {"x"});
  const auto bulk = w.dimension("bulk", {"data/#"});
  w.profile("p", list({sent("in", "IN", "less-than", 10)}));
  w.cloud("v1", messages(9, 9, bulk));
  w.dimension("other", {"y"});
  w.at(10).cloud("v1", messages(1, 1, bulk));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 in"));
  w.dimension("third", {"z"});
  EXPECT_THAT(w.events(), IsEmpty());
}

TEST(Dimensions, AnAlarmOfTheWholeEndsWhenItsBehaviorIsNarrowed) {
  World w;
  const std::string criteria = R"({"comparisonOperator":"less-than","value":{"count":10},"durationSeconds":300})";
  w.profile("p", fmt::format(R"([{{"name":"sent","metric":"aws:num-messages-sent","criteria":{}}}])", criteria));
  w.cloud("v1", messages(10, 0, {"bulk", 1}));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 sent"));
  w.profile("p", list({sent("sent", "IN", "less-than", 10)}));  // by a dimension that there is not: nobody judges it
  EXPECT_EQ(w.engine().behaviors_not_evaluated(), 1U);
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated v1 sent"));
  EXPECT_EQ(w.last().reason, "the behavior was changed");
}

TEST(Dimensions, WhatNobodyCountsIsUnknownAndNotZero) {
  World w;
  const auto bulk = w.dimension("bulk", {"data/#"});
  w.profile("p", list({sent("some", "IN", "greater-than", 0), sent("few", "NOT_IN", "less-than", 5)}));
  w.cloud("v1", messages(6, 0, bulk));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 few")) << "what it does say is judged";
  w.at(1501).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "connected, but its gateway does not count the dimension: neither alarm";
  w.counting({bulk});
  w.at(1801).tick();
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 few"))
      << "and in the pane of the first word too little is not it";
  w.at(2101).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 some"));
  EXPECT_EQ(w.last().value->count, 0);
}

TEST(Dimensions, AGatewayThatStopsCountingOrStartsAnewIsNotTakenForSilence) {
  World w;
  const auto bulk = w.dimension("bulk", {"data/#"});
  w.profile("p", list({sent("some", "IN", "greater-than", 0)}));
  w.counting({bulk});
  for (int pane = 0; pane < 3; ++pane) w.at(pane * 300 + 10).cloud("v1", messages(1, 1, bulk));
  w.mark();  // the gateway goes by a newer manifest, in which nothing asked for the dimension, it says
  w.counting({});
  w.at(1501).tick();
  EXPECT_THAT(w.events(), IsEmpty());
  w.mark();
  w.at(1510).counting({bulk});
  w.cloud("v1", messages(1, 0, bulk));
  w.at(1801).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "not counted for the whole of that pane";
  fleet::CloudMetrics anew = messages(1, 0, bulk);
  anew.start_number = 1;
  w.at(1810).cloud("v1", anew);
  w.at(2401).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "the start anew has not said that it counts";
  w.counting({bulk}, "g1", 1);
  w.at(3001).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 some"));
}

TEST(Dimensions, WhatIsSaidAgainOrOfBeforeChangesNothing) {
  World w;
  const auto bulk = w.dimension("bulk", {"data/#"});
  w.counting({bulk}, "g1", 5);
  w.counting({}, "g1", 5);  // by the same manifest
  w.counting({}, "g1", 4);  // of a start that is over
  const Counters& c = w.engine().counters();
  EXPECT_EQ(c[Outcome::counting_applied], 1U);
  EXPECT_EQ(c[Outcome::counting_duplicate], 2U);
  EXPECT_THAT(w.engine().partition_record(), HasSubstr(R"("counts":[{"dimension":"bulk")"));
  EXPECT_EQ(c.records(), w.log().size());
}

TEST(Dimensions, SizesAndAddressesAreJudgedBySide) {
  World w;
  const auto bulk = w.dimension("bulk", {"data/#"});
  w.profile("p", list({narrow("size", "aws:message-byte-size", "NOT_IN",
                              R"({"comparisonOperator":"less-than","value":{"count":100}})"),
                       narrow("from", "aws:source-ip-address", "IN",
                              R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/8"]}})")}));
  fleet::CloudMetrics m;
  m.connected = true;
  m.source_addresses = {"203.0.113.9"};
  m.metrics = {{"aws:message-byte-size", {1, 5000, 5000, 5000}}};
  m.dimensions = {{bulk, false, m.metrics, {"10.1.1.1"}}};
  w.cloud("v1", m);
  EXPECT_THAT(w.events(), IsEmpty()) << "large, but in; from elsewhere, but not with a message in it";
  m.dimensions = {{bulk, true, m.metrics, {"203.0.113.9"}}};
  w.cloud("v1", m);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 size"));
  m.dimensions = {{bulk, false, {}, {"203.0.113.9"}}};
  w.cloud("v1", m);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 from"));
  EXPECT_EQ(w.last().expected, "source addresses on topics of bulk within 10.0.0.0/8");
}

TEST(Rules, AreHeldWithTheirDimensions) {
  Rules rules;
  fleet::Manifest m;
  m.number = 1;
  m.dimensions = {{"bulk", 2}};
  const auto add = [&](const std::string& key, const json::Value& value) {
    return rules.add(key, testing::event_text(value, key));
  };
  ASSERT_TRUE(add("manifest/1", to_json(m)).ok());
  EXPECT_FALSE(rules.holds(1));
  ASSERT_TRUE(add("dimension/bulk@1", to_json(fleet::Dimension{"bulk", 1, {"a"}})).ok());
  EXPECT_FALSE(rules.holds(1)) << "of another version";
  EXPECT_EQ(add("dimension/bulk@2", to_json(fleet::Dimension{"bulk", 1, {"a"}})).error().code, ErrorCode::corrupted);
  ASSERT_TRUE(add("dimension/bulk@2", to_json(fleet::Dimension{"bulk", 2, {"b"}})).ok());
  EXPECT_TRUE(rules.holds(1));
  EXPECT_EQ(rules.newest_held(), 1);
  EXPECT_EQ(rules.dimension({"bulk", 2})->topic_filters, (std::vector<std::string>{"b"}));
}

TEST(Rules, SayWhichMetricsLookThroughWhichDimension) {
  World w;
  w.dimension("bulk", {"data/#"});
  w.dimension("idle", {"unused"});
  w.profile("p", list({sent("in", "IN", "less-than", 10), sent("out", "NOT_IN", "less-than", 10)}));
  w.profile("q", list({narrow("size", "aws:message-byte-size", "IN", R"({"comparisonOperator":"less-than",
      "value":{"count":100}})")}));
  const auto uses = dimensions_in_use(w.rules(), 4);
  ASSERT_EQ(uses.size(), 1U) << "what nothing looks through costs nothing";
  EXPECT_EQ(uses[0].dimension, (fleet::Dimension{"bulk", 1, {"data/#"}}));
  EXPECT_THAT(uses[0].in, ElementsAre("aws:message-byte-size", "aws:num-messages-sent"));
  EXPECT_THAT(uses[0].not_in, ElementsAre("aws:num-messages-sent"));
  EXPECT_THAT(dimensions_in_use(w.rules(), 3)[0].in, ElementsAre("aws:num-messages-sent"));
  EXPECT_THAT(dimensions_in_use(w.rules(), 2), IsEmpty());
  EXPECT_THAT(dimensions_in_use(w.rules(), 99), IsEmpty()) << "not here";
}

}  // namespace
}  // namespace fleetward::detect
