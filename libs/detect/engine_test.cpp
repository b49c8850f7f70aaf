#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detect/test_world.hpp"

namespace fleetward::detect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::World;

std::string behavior(std::string_view name, std::string_view metric, std::string_view op, std::string_view value,
                     std::string_view more = "") {
  return fmt::format(R"([{{"name":"{}","metric":"{}","criteria":{{"comparisonOperator":"{}","value":{}{}}}}}])", name,
                     metric, op, value, more);
}
const std::string listeners = behavior("ports", "aws:listening-tcp-ports", "in-port-set", R"({"ports":[22,8883]})");

TEST(Ports, RaiseExplainAndClear) {
  World w;
  w.profile("cams", listeners);
  w.thing("v1", {"cameras"});
  w.tcp_ports("v1", {22});
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(5).tcp_ports("v1", {22, 48101, 23});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  const fleet::ViolationEvent raised = w.last();
  EXPECT_EQ(raised.expected, "listening TCP ports within 22, 8883");
  EXPECT_EQ(raised.seen, "48101, 23");
  EXPECT_EQ(raised.time, instant_from_ms(World::start_ms + 5000));
  EXPECT_EQ(raised.thing_id, "id-1");
  EXPECT_THAT(raised.groups, ElementsAre("cameras"));
  EXPECT_EQ(raised.manifest, 1);
  EXPECT_EQ(raised.partition, 7);
  EXPECT_FALSE(raised.gateway_seen);
  EXPECT_EQ(raised.violation_id.size(), 32U);
  w.tcp_ports("v1", {48101});
  EXPECT_THAT(w.events(), IsEmpty()) << "it is in alarm already";
  w.at(9).tcp_ports("v1", {8883});
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 ports"));
  EXPECT_EQ(w.last().violation_id, raised.violation_id);
  EXPECT_EQ(w.last().start_time, raised.time);
  w.tcp_ports("v1", {1});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  EXPECT_NE(w.last().violation_id, raised.violation_id);
}

TEST(Ports, MissingIsNotEmptyAndEmptyClearsAtOnce) {
  World w;
  w.profile("p", behavior("ports", "aws:listening-tcp-ports", "not-in-port-set", R"({"ports":[23]})",
                          R"(,"consecutiveDatapointsToClear":3)"));
  w.tcp_ports("v1", {23});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  w.report("v1", "{}");
  w.tcp_ports("v1", {22});
  w.tcp_ports("v1", {22});
  EXPECT_THAT(w.events(), IsEmpty()) << "two of three datapoints";
  w.tcp_ports("v1", {});
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 ports"));
}

TEST(Streaks, CountConsecutiveDatapoints) {
  World w;
  w.custom_metric("cpu", fleet::CustomMetricType::number);
  w.profile("p", behavior("hot", "cpu", "less-than", R"({"number":85})",
                          R"(,"consecutiveDatapointsToAlarm":3,"consecutiveDatapointsToClear":2)"));
  const auto cpu = [&](double value) {
    w.add("report", "v1", fmt::format(R"({{"hed":{{"rid":1,"v":"1.0"}},"cmet":{{"cpu":[{{"number":{}}}]}}}})", value));
  };
  for (const double value : {90.0, 91.0, 20.0, 90.0, 91.0}) cpu(value);
  EXPECT_THAT(w.events(), IsEmpty()) << "the run was broken once";
  cpu(92.5);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 hot"));
  EXPECT_EQ(w.last().datapoints, 3);
  EXPECT_EQ(w.last().seen, "92.5");
  EXPECT_EQ(w.last().expected, "cpu below 85, 3 datapoints in a row");
  for (const double value : {20.0, 90.0, 20.0}) cpu(value);
  EXPECT_THAT(w.events(), IsEmpty());
  cpu(20);
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 hot"));
}

TEST(Windows, ABurstDecidesItsPaneEarlyAndOnce) {
  World w;
  w.profile("p", behavior("out", "aws:all-bytes-out", "less-than", R"({"count":1000})", R"(,"durationSeconds":300)"));
  w.bytes_out("v1", 400);
  w.at(100).bytes_out("v1", 599);
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(110).bytes_out("v1", 1);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 out"));
  EXPECT_EQ(w.last().value->count, 1000);
  EXPECT_EQ(w.last().seen, "1000 in 5 minutes");
  EXPECT_EQ(w.last().time, instant_from_ms(World::start_ms + 110'000));
  w.at(200).bytes_out("v1", 5000);
  w.at(400);
  EXPECT_THAT(w.events(), IsEmpty()) << "the burst was the pane's datapoint";
  w.bytes_out("v1", 10);
  w.at(601).tick();
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 out"));
  EXPECT_EQ(to_ms(w.last().time), World::start_ms + 600'000) << "datapoints of panes are aligned";
}

TEST(Windows, SlideOverTheirPanes) {
  World w;
  w.profile("p",
            behavior("out", "aws:all-bytes-out", "less-than-equals", R"({"count":1000})", R"(,"durationSeconds":900)"));
  for (int pane = 0; pane < 3; ++pane) w.at(pane * 300 + 10).bytes_out("v1", 400);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 out")) << "1200 in three panes";
  w.at(910).bytes_out("v1", 100);
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(1210).tick();  // 400 + 400 + 100
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 out"));
}

TEST(Windows, MissingIsNotZero) {
  World w;
  w.profile("p", behavior("out", "aws:all-bytes-out", "greater-than", R"({"count":10})", R"(,"durationSeconds":300)"));
  w.at(200).bytes_out("v1", 1);
  w.at(310).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "its first pane was not seen whole";
  w.at(2000).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "no report, no datapoint";
  w.at(2110).bytes_out("v1", 5);
  w.at(2401).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 out"));
}

fleet::CloudMetrics seen_by_gateway(bool connected, std::map<std::string, fleet::MetricDelta> metrics = {}) {
  fleet::CloudMetrics m;
  m.connected = connected;
  m.metrics = std::move(metrics);
  return m;
}

TEST(CloudSide, AConnectedDeviceWithoutTrafficHasZeroPanes) {
  World w;
  w.profile("p",
            behavior("alive", "aws:num-messages-sent", "greater-than", R"({"count":0})", R"(,"durationSeconds":300)"));
  w.at(10).cloud("v1", seen_by_gateway(true, {{"aws:num-messages-sent", {3, 3, 1, 1}}}));
  w.at(310).cloud("v1", seen_by_gateway(true, {{"aws:num-messages-sent", {1, 1, 1, 1}}}));
  w.at(601).tick();
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(901).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 alive"));
  EXPECT_EQ(w.last().value->count, 0);
  EXPECT_TRUE(w.last().gateway_seen);
  w.at(910).cloud("v1", seen_by_gateway(false));
  w.at(1800).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "a device that is away has no panes";
}

TEST(CloudSide, OurOutageIsNotTheDevicesSilence) {
  World w;
  w.profile("p",
            behavior("alive", "aws:num-messages-sent", "greater-than", R"({"count":0})", R"(,"durationSeconds":300)"));
  for (int pane = 0; pane < 3; ++pane)
    w.at(pane * 300 + 10).cloud("v1", seen_by_gateway(true, {{"aws:num-messages-sent", {1, 1, 1, 1}}}));
  w.jump(2000).tick();
  w.at(2101).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "panes that the hole touched say nothing of silence";
  w.at(2401).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 alive"));
}

TEST(CloudSide, AGatewayThatStartedAnewHasNoSessionsOfBefore) {
  World w;
  w.profile("p",
            behavior("alive", "aws:num-messages-sent", "greater-than", R"({"count":0})", R"(,"durationSeconds":300)"));
  for (int pane = 0; pane < 2; ++pane)
    w.at(pane * 300 + 10).cloud("v1", seen_by_gateway(true, {{"aws:num-messages-sent", {1, 1, 1, 1}}}));
  fleet::CloudMetrics other = seen_by_gateway(true, {{"aws:num-messages-sent", {1, 1, 1, 1}}});
  other.start_number = 2;
  w.at(590).cloud("v2", other);
  w.at(1500).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v2 alive"));
}

TEST(CloudSide, EachMessageIsJudgedBySize) {
  World w;
  w.profile("p", behavior("size", "aws:message-byte-size", "less-than", R"({"count":1000})"));
  w.cloud("v1", seen_by_gateway(true, {{"aws:message-byte-size", {3, 1200, 100, 999}}}));
  EXPECT_THAT(w.events(), IsEmpty());
  w.cloud("v1", seen_by_gateway(true, {{"aws:message-byte-size", {2, 1100, 100, 1000}}}));
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 size"));
  EXPECT_EQ(w.last().seen, "1000 bytes");
}

TEST(CloudSide, SourceAddressesAreJudged) {
  World w;
  w.profile("p", behavior("from", "aws:source-ip-address", "in-cidr-set", R"({"cidrs":["10.0.0.0/8"]})"));
  fleet::CloudMetrics m = seen_by_gateway(true);
  m.source_addresses = {"10.1.2.3"};
  w.cloud("v1", m);
  EXPECT_THAT(w.events(), IsEmpty());
  m.source_addresses = {"10.1.2.3", "203.0.113.9"};
  w.cloud("v1", m);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 from"));
  EXPECT_EQ(w.last().seen, "203.0.113.9");
}

TEST(CloudSide, TimeAwayIsInMinutesAndWithoutOurOutage) {
  World w;
  w.profile("p", behavior("away", "aws:disconnect-duration", "less-than", R"({"count":30})"));
  w.cloud("v1", seen_by_gateway(true));
  w.at(60).cloud("v1", seen_by_gateway(false));
  w.at(600);
  w.jump(600 + 7200).tick();
  EXPECT_THAT(w.events(), IsEmpty()) << "two hours of ours";
  w.at(600 + 7200 + 1600).tick();
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 away"));
  EXPECT_THAT(w.last().seen, HasSubstr("minutes"));
  w.cloud("v1", seen_by_gateway(true));
  EXPECT_THAT(w.events(), ElementsAre("alarm-cleared v1 away"));
}

TEST(Duplicates, AreCountedAndChangeNothing) {
  World w;
  w.profile("p", behavior("out", "aws:all-bytes-out", "less-than", R"({"count":1000})", R"(,"durationSeconds":300)"));
  auto send = [&](std::uint16_t packet, bool dup, std::int64_t bytes) {
    testing::LogRecord r;
    r.append_ms = w.now_ms();
    r.kind = "report";
    r.key = "v1";
    r.value = World::report_text(fmt::format(R"({{"network_stats":{{"bytes_out":{}}}}})", bytes));
    r.packet_id = packet;
    r.dup = dup;
    w.add(std::move(r));
  };
  send(5, false, 600);
  send(5, true, 600);
  EXPECT_THAT(w.events(), IsEmpty());
  EXPECT_EQ(w.engine().counters()[Outcome::report_duplicate], 1U);
  send(6, true, 300);  // DUP, but never seen: the first one was lost
  EXPECT_EQ(w.engine().counters()[Outcome::report_applied], 2U);
  send(6, false, 300);  // it was not: it comes after its repetition
  EXPECT_EQ(w.engine().counters()[Outcome::report_applied], 2U);
  EXPECT_EQ(w.engine().counters()[Outcome::report_duplicate], 2U);
  send(6, true, 300);  // and once more
  EXPECT_EQ(w.engine().counters()[Outcome::report_duplicate], 3U);
  send(5, false, 600);  // the id is free again: another report
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 out"));
  send(6, false, 300);
  EXPECT_EQ(w.engine().counters()[Outcome::report_applied], 4U) << "that of 6, too";

  fleet::CloudMetrics m = seen_by_gateway(true);
  m.sequence = 9;
  w.cloud("v1", m);
  w.cloud("v1", m);
  m.sequence = 8;
  w.cloud("v1", m);
  EXPECT_EQ(w.engine().counters()[Outcome::cloud_duplicate], 2U);
  EXPECT_EQ(w.engine().counters().records(), w.log().size()) << "each record ends in exactly one counter";
}

TEST(Targets, AreGroupsAllRegisteredAndUnregistered) {
  using Kind = fleet::Target::Kind;
  World w;
  w.profile("g", behavior("g", "aws:num-listening-tcp-ports", "less-than", R"({"count":1})"),
            {{Kind::thing_group, "cams"}});
  w.profile("r", behavior("r", "aws:num-listening-tcp-ports", "less-than", R"({"count":1})"),
            {{Kind::registered_things, {}}});
  w.profile("u", behavior("u", "aws:num-listening-tcp-ports", "less-than", R"({"count":1})"),
            {{Kind::unregistered_things, {}}});
  w.thing("in", {"cams"});
  w.thing("out", {"other"});
  w.tcp_ports("in", {1});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm in g", "in-alarm in r"));
  w.tcp_ports("out", {1});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm out r"));
  w.tcp_ports("nobody", {1});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm nobody u"));
  w.thing("in", {});
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated in g")) << "it left the group; the rest goes on";
  w.thing("nobody", {});
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated nobody u")) << "registered things are others";
}

TEST(Ports, AnotherLogGivesOtherIdsAtTheSameOffsets) {
  World before, after;
  for (World* w : {&before, &after.jump(86'400)}) {
    w->profile("p", listeners);
    w->tcp_ports("v1", {23});
  }
  EXPECT_EQ(before.last().offset, after.last().offset);
  EXPECT_NE(before.last().violation_id, after.last().violation_id);
}

TEST(Changes, InvalidateAndRaiseAgain) {
  World w;
  w.profile("p", listeners);
  w.tcp_ports("v1", {23});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  const std::string first = w.last().violation_id;
  w.detach("p");
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated v1 ports"));
  EXPECT_EQ(w.last().violation_id, first);
  EXPECT_EQ(w.last().value, std::nullopt) << "an invalidated event has no value";
  EXPECT_EQ(w.last().reason, "the profile no longer applies to the thing");
  w.tcp_ports("v1", {23});
  EXPECT_THAT(w.events(), IsEmpty());
  w.profile("p", listeners);
  EXPECT_THAT(w.events(), IsEmpty());
  w.tcp_ports("v1", {23});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  w.profile("p", listeners);
  EXPECT_THAT(w.events(), IsEmpty()) << "another version with the same rule";
  w.profile("p", behavior("ports", "aws:listening-tcp-ports", "in-port-set", R"({"ports":[22]})"));
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated v1 ports"));
  EXPECT_EQ(w.last().reason, "the behavior was changed");
  w.tcp_ports("v1", {23});
  w.events();
  w.profile("p", behavior("other", "aws:listening-tcp-ports", "in-port-set", R"({"ports":[22]})"));
  EXPECT_EQ(w.last().reason, "the behavior was deleted");
}

TEST(Changes, TwoDaysWithoutMetricsInvalidate) {
  World w;
  w.profile("p", listeners);
  w.tcp_ports("v1", {23});
  w.events();
  w.at(2 * 86'400 - 300);
  EXPECT_THAT(w.events(), IsEmpty());
  w.at(2 * 86'400 + 301).tick();
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated v1 ports"));
  w.tcp_ports("v1", {23});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
}

TEST(Things, InheritNothingOfADeletedOneOfTheName) {
  World w;
  w.profile("p", listeners);
  w.thing("v1", {}, "old");
  w.tcp_ports("v1", {23});
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  w.thing("v1", {}, "old", true);
  EXPECT_THAT(w.events(), ElementsAre("alarm-invalidated v1 ports"));
  testing::LogRecord late;
  late.append_ms = w.now_ms();
  late.kind = "report";
  late.key = "v1";
  late.thing_id = "old";
  late.value = World::report_text(R"({"listening_tcp_ports":{"ports":[{"port":23}]}})");
  w.add(late);
  EXPECT_EQ(w.engine().counters()[Outcome::report_rejected_thing], 1U);
  w.thing("v1", {}, "new");
  w.add(late);
  EXPECT_EQ(w.engine().counters()[Outcome::report_rejected_thing], 2U);
  late.thing_id = "new";
  w.add(late);
  EXPECT_THAT(w.events(), ElementsAre("in-alarm v1 ports"));
  EXPECT_EQ(w.last().thing_id, "new");
}

TEST(Owners, TicksAndMarksOfAnOlderBeginDoNotCount) {
  World w;
  w.profile("p", listeners);
  w.add("begin", "", json::dump(to_json(fleet::Begin{"b2", "e"})));
  w.detach("p");  // marked by b1
  EXPECT_EQ(w.engine().counters()[Outcome::mark_stale], 1U);
  EXPECT_EQ(w.engine().manifest(), 1);
  w.add("mark", "", json::dump(to_json(fleet::Mark{"b2", 1})));
  EXPECT_EQ(w.engine().counters()[Outcome::mark_superseded], 1U);
  w.add("mark", "", json::dump(to_json(fleet::Mark{"b2", 2})));
  EXPECT_EQ(w.engine().manifest(), 2);
}

TEST(Owners, AMarkWaitsForItsRules) {
  Rules rules;
  Snapshots snapshots;
  PartitionEngine engine(0, rules, snapshots);
  std::vector<fleet::ViolationEvent> out;
  testing::LogRecord begin{0, 1000, "", json::dump(to_json(fleet::Begin{"b", "e"})), "begin", "", {}, {}, false};
  engine.apply(begin.view(), out);
  testing::LogRecord mark{1, 1000, "", json::dump(to_json(fleet::Mark{"b", 3})), "mark", "", {}, {}, false};
  EXPECT_FALSE(engine.can_apply(mark.view()));
  fleet::Manifest m{3, {{"p", 1, {{fleet::Target::Kind::all_things, {}}}}}, {}};
  ASSERT_TRUE(rules.add("manifest/3", testing::event_text(to_json(m), "manifest/3")).ok());
  EXPECT_FALSE(engine.can_apply(mark.view())) << "the profile that it names is not here";
  fleet::SecurityProfile p;
  p.name = "p";
  ASSERT_TRUE(rules.add("profile/p@1", testing::event_text(to_json(p), "profile/p@1")).ok());
  EXPECT_TRUE(engine.can_apply(mark.view()));
  EXPECT_FALSE(rules.add("profile/q@1", testing::event_text(to_json(p), "x")).ok());
}

TEST(Clock, IsCappedPastTheWritersOwn) {
  World w;
  w.profile("p", listeners);
  testing::LogRecord r;
  r.kind = "report";
  r.key = "v1";
  r.value = World::report_text("{}");
  r.append_ms = World::start_ms + 3'600'000;
  r.received_ms = World::start_ms;
  w.add(r);
  EXPECT_EQ(to_ms(w.engine().clock()), World::start_ms + 60'000);
}

TEST(Engine, CountsWhatItCannotUse) {
  World w;
  w.add("report", "v1", "{}");
  w.add("report", "a/b", World::report_text("{}"));
  w.add("cloud-metrics", "v1", "[]");
  w.add("registry", "v1", "{}");
  w.add("tick", "", "{}");
  w.add("mark", "", "{}");
  w.add("begin", "", "");
  w.add("verdict", "v1", "{}");
  w.add("nonsense", "v1", "{}");
  w.add("counting", "", "{}");
  const Counters& c = w.engine().counters();
  for (const Outcome o :
       {Outcome::report_rejected_payload, Outcome::report_rejected_thing, Outcome::cloud_rejected,
        Outcome::registry_rejected, Outcome::tick_rejected, Outcome::mark_rejected, Outcome::begin_rejected,
        Outcome::verdict_dropped, Outcome::unknown_rejected, Outcome::counting_rejected}) {
    EXPECT_EQ(c[o], 1U) << to_string(o);
  }
  EXPECT_EQ(c.records(), w.log().size());
  EXPECT_EQ(w.engine().device_count(), 0U) << "what is refused leaves no state";
}

TEST(Engine, SaysHowManyBehaviorsItDoesNotEvaluate) {
  World w;
  w.profile("p", R"([{"name":"s","metric":"aws:num-messages-sent","criteria":{"comparisonOperator":"less-than",
      "durationSeconds":300,"statisticalThreshold":{"statistic":"p98"}}},
      {"name":"m","metric":"aws:num-disconnects","criteria":{"mlDetectionConfig":{"confidenceLevel":"HIGH"}}},
      {"name":"d","metric":"aws:num-messages-sent","metricDimension":{"dimensionName":"gone"},"criteria":
      {"comparisonOperator":"less-than","value":{"count":1},"durationSeconds":300}}])");
  w.cloud("v1", seen_by_gateway(true, {{"aws:num-messages-sent", {3000, 1, 1, 1}}}));
  EXPECT_THAT(w.events(), IsEmpty());
  EXPECT_EQ(w.engine().behaviors_not_evaluated(), 3U);
}

}  // namespace
}  // namespace fleetward::detect
