#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/access.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/device_records.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/violation.hpp"

namespace fleetward::fleet {
namespace {

using ::testing::HasSubstr;

json::Value parsed(std::string_view text) { return *json::parse(text); }

TEST(Names, AreBounded) {
  EXPECT_TRUE(is_valid_name("dev-1:a_B"));
  for (const std::string& bad :
       {std::string(), std::string("a/b"), std::string("a+"), std::string("a#"), std::string("$a"),
        std::string("a\0b", 3), std::string(129, 'a'), std::string("d\xC3\xA9")}) {
    EXPECT_FALSE(is_valid_name(bad));
  }
}

TEST(Arns, RoundTripAndRefuseOthers) {
  const Installation here{"123456789012", "eu-west-1"};
  for (const Target& t : {Target{Target::Kind::thing_group, "cams"}, Target{Target::Kind::all_things, {}},
                          Target{Target::Kind::registered_things, {}}, Target{Target::Kind::unregistered_things, {}}}) {
    EXPECT_EQ(*parse_target_arn(here, to_arn(here, t)), t);
  }
  EXPECT_FALSE(parse_target_arn(here, "arn:aws:iot:eu-west-1:999999999999:thinggroup/cams").ok());
  EXPECT_FALSE(parse_target_arn(here, "arn:aws:iot:eu-west-1:123456789012:thinggroup/").ok());
  EXPECT_FALSE(parse_target_arn(here, "arn:aws:iot:eu-west-1:123456789012:thinggroup/a/b").ok());
}

TEST(Behavior, ReadsWhatTheApiSendsAndFillsDefaults) {
  const auto b = behavior_from_json(parsed(R"({"name":"ports","metric":"aws:listening-tcp-ports","criteria":
      {"comparisonOperator":"in-port-set","value":{"ports":[22,8883]}}})"),
                                    "behaviors[0]");
  ASSERT_TRUE(b.ok()) << b.error().message;
  const json::Value back = to_json(*b);
  EXPECT_EQ(back["criteria"]["consecutiveDatapointsToAlarm"], 1);
  EXPECT_EQ(back["criteria"]["value"]["ports"], json::Value::array({22, 8883}));
  EXPECT_EQ(*behavior_from_json(back, "b"), *b);
}

TEST(Behavior, TellsEachProblem) {
  const auto b = behavior_from_json(parsed(R"({"name":"a b","metric":"x","criteria":{"comparisonOperator":"equals",
      "value":{"ports":[70000]},"consecutiveDatapointsToAlarm":100000}})"),
                                    "behaviors[0]");
  ASSERT_FALSE(b.ok());
  EXPECT_THAT(b.error().message, HasSubstr("[a-zA-Z0-9:_-]"));
  EXPECT_THAT(b.error().message, HasSubstr("comparisonOperator equals is not one of"));
  EXPECT_THAT(b.error().message, HasSubstr("consecutiveDatapointsToAlarm 100000 should be in range [1,10]"));
  EXPECT_THAT(b.error().message, HasSubstr("ports has an element of the wrong type or range"));
}

TEST(Dimension, FiltersAreChecked) {
  EXPECT_TRUE(
      check_topic_filters({"a/+/b", "#", "data/${iot:ClientId}/#", "x-${iot:ClientId}", "$aws/things/+/y"}).ok());
  EXPECT_TRUE(check_topic_filters(std::vector<std::string>(100, std::string(256, 'a'))).ok());
  for (const std::vector<std::string>& bad :
       std::vector<std::vector<std::string>>{{},
                                             std::vector<std::string>(101, "a"),
                                             {""},
                                             {std::string(257, 'a')},
                                             {"a", "b/#/c"},
                                             {"b+"},
                                             {"+${iot:ClientId}"},
                                             {"${iot:Connection.Thing.ThingName}/a"},
                                             {"${iot:ClientId"},
                                             {std::string("a\0b", 3)},
                                             {"a\xff"}}) {
    EXPECT_EQ(check_topic_filters(bad).error().code, ErrorCode::invalid_argument)
        << (bad.empty() ? "none" : bad.back());
  }
  EXPECT_THAT(check_topic_filters({"\x1b[2J/#/"}).error().message, ::testing::Not(HasSubstr("\x1b")));
}

TEST(Dimension, IsAskedPerDeviceByWholeLevels) {
  const Dimension d{"d", 1, {"data/${iot:ClientId}/#", "${iot:ClientId}/${iot:ClientId}", "all/+"}};
  EXPECT_TRUE(is_in(d, "dev1", "data/dev1"));
  EXPECT_TRUE(is_in(d, "dev1", "data/dev1/x/y"));
  EXPECT_TRUE(is_in(d, "dev1", "dev1/dev1"));
  EXPECT_TRUE(is_in(d, "dev1", "all/x"));
  EXPECT_FALSE(is_in(d, "dev1", "data/dev10/x"));
  EXPECT_FALSE(is_in(d, "dev1", "data/dev2"));
  EXPECT_FALSE(is_in(d, "dev1", "all/x/y"));
  EXPECT_FALSE(is_in({"d", 1, {"#"}}, "dev1", "$aws/things/dev1/x")) << "wildcards do not begin with a dollar";
  EXPECT_TRUE(is_in({"d", 1, {"$aws/#"}}, "dev1", "$aws/things/dev1/x"));
  EXPECT_EQ(*dimension_from_json(to_json(d)), d);
  EXPECT_FALSE(dimension_from_json(parsed(R"({"name":"d","version":1,"type":"COLOUR","stringValues":["a"]})")).ok());
  EXPECT_FALSE(
      dimension_from_json(parsed(R"({"name":"d","version":1,"type":"TOPIC_FILTER","stringValues":["#a"]})")).ok());
  EXPECT_FALSE(
      dimension_from_json(parsed(R"({"name":"a/b","version":1,"type":"TOPIC_FILTER","stringValues":["a"]})")).ok());
}

TEST(CloudMetrics, WithoutDimensionsAreWrittenAsBefore) {
  CloudMetrics m;
  m.gateway = "g";
  EXPECT_FALSE(to_json(m).contains("dimensions"));
  m.dimensions = {{{"d", 3}, true, {{"aws:num-messages-sent", {1, 1, 1, 1}}}, {"10.0.0.1"}}, {{"e", 1}, false, {}, {}}};
  EXPECT_EQ(*cloud_metrics_from_json(to_json(m)), m);
  json::Value odd = to_json(m);
  odd["dimensions"][0]["operator"] = "OUT";
  EXPECT_FALSE(cloud_metrics_from_json(odd).ok());
  odd = to_json(m);
  odd["dimensions"][1].erase("version");
  EXPECT_FALSE(cloud_metrics_from_json(odd).ok());
  odd = to_json(m);
  odd["dimensions"] = json::Value(65, odd["dimensions"][0]);
  EXPECT_FALSE(cloud_metrics_from_json(odd).ok()) << "a record is bounded";
  const Counting c{"g", 7, 3, {{"d", 3}, {"e", 1}}};
  EXPECT_EQ(*counting_from_json(to_json(c)), c);
  EXPECT_FALSE(counting_from_json(parsed(R"({"gateway":"g","startNumber":1,"manifest":1,"dimensions":{}})")).ok());
}

TEST(MetricValue, NeedsExactlyOneMember) {
  EXPECT_FALSE(metric_value_from_json(parsed("{}"), "value").ok());
  EXPECT_FALSE(metric_value_from_json(parsed(R"({"count":1,"number":2})"), "value").ok());
  EXPECT_FALSE(metric_value_from_json(parsed(R"({"count":-1})"), "value").ok());
  EXPECT_EQ(to_human(*metric_value_from_json(parsed(R"({"ports":[1,2,3,4,5,6,7]})"), "value")),
            "1, 2, 3, 4, 5 and 2 more");
}

TEST(Manifest, RoundTrips) {
  Manifest m;
  m.number = 7;
  m.profiles = {{"p", 3, {{Target::Kind::thing_group, "g"}, {Target::Kind::all_things, {}}}}};
  m.custom_metrics = {{"temp", CustomMetricType::number, ""}};
  EXPECT_EQ(*manifest_from_json(to_json(m)), m);
  m.dimensions = {{"d", 3}, {"e", 1}};
  EXPECT_EQ(*manifest_from_json(to_json(m)), m);
  json::Value odd = to_json(m);
  odd["dimensions"] = json::Value::object();
  EXPECT_FALSE(manifest_from_json(odd).ok()) << "its behaviors would look through nothing";
  odd["dimensions"] = json::Value::array({{{"dimension", "d"}}});
  EXPECT_THAT(manifest_from_json(odd).error().message, testing::HasSubstr("manifest.dimensions.version"));
}

TEST(Records, RoundTrip) {
  CloudMetrics c{"gw-1", 2, 9, true, {{"aws:num-messages-sent", {3, 3, 1, 1}}}, {"10.0.0.7"}};
  EXPECT_EQ(*cloud_metrics_from_json(to_json(c)), c);
  RegistryFact f{"dev1", "id1", 4, false, "cam", "1.2", {"a", "b"}};
  EXPECT_EQ(*registry_fact_from_json(to_json(f)), f);
  EXPECT_EQ(*mark_from_json(to_json(Mark{"b1", 5})), (Mark{"b1", 5}));
  AccessRecord a{
      "dev1", "id1", 3, {{"act1", HoldLevel::isolate, "why", "responder", instant_from_ms(5), instant_from_ms(9)}}};
  EXPECT_EQ(*access_record_from_json(to_json(a)), a);
  CertificateRecord cert{std::string(64, 'a'), "dev1", "id1", std::string(64, 'b'), "01", CertificateStatus::revoked,
                         instant_from_ms(8),   2};
  EXPECT_EQ(*certificate_record_from_json(to_json(cert)), cert);
  GatewayHeartbeat h{"gw-1", 1, true, false, "127.0.0.1", 8883, 5, 6, 200, instant_from_ms(7), instant_from_ms(17),
                     true};
  EXPECT_EQ(*gateway_heartbeat_from_json(to_json(h)), h);
  EnforcementEvent e;
  e.id = "x";
  e.thing = "dev1";
  e.gateway = "gw-1";
  e.kind = EnforcementKind::session_cut;
  e.level = HoldLevel::isolate;
  e.mqtt_reason_code = 0x98;
  EXPECT_EQ(*enforcement_event_from_json(to_json(e)), e);
}

TEST(Violation, RoundTripsInItsEnvelope) {
  ViolationEvent v;
  v.violation_id = std::string(32, 'a');
  v.thing = "dev1";
  v.profile = "p";
  v.behavior = *behavior_from_json(parsed(R"({"name":"b","metric":"aws:num-listening-tcp-ports",
      "criteria":{"comparisonOperator":"less-than","value":{"count":5}}})"),
                                   "b");
  v.value = MetricValue{.count = 9};
  v.time = instant_from_ms(1000);
  v.expected = "less than 5";
  v.seen = "9";
  const std::string text = to_json_text(
      {event_id(v), "/fleetward/detector", std::string(event_type::violation), "dev1", v.time, to_json(v)});
  const auto event = parse_cloud_event(text);
  ASSERT_TRUE(event.ok()) << event.error().message;
  EXPECT_EQ(event->id, std::string(32, 'a') + ".in-alarm");
  EXPECT_EQ(*violation_event_from_json(event->data), v);
}

}  // namespace
}  // namespace fleetward::fleet
