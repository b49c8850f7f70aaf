#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "collect/translator.hpp"

namespace fleetward::collect {
namespace {

using json::Value;
using ::testing::HasSubstr;

constexpr std::string_view report_text =
    R"({"header":{"report_id":7,"version":"1.0"},"metrics":{"network_stats":{"bytes_in":5}}})";

Value parse(std::string_view text) {
  auto value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value ? *value : Value();
}

Mapping mapping(std::string_view text) {
  auto made = Mapping::from_json(parse(text));
  EXPECT_TRUE(made.ok()) << (made ? "" : made.error().message);
  return made ? *made : Mapping();
}

ThingRule rule(std::string_view text) {
  auto made = ThingRule::parse(text);
  EXPECT_TRUE(made.ok()) << text;
  return made ? *made : ThingRule();
}

// ---- whose it is

struct RuleCase {
  std::string rule, topic, key, thing;
};
class Things : public ::testing::TestWithParam<RuleCase> {};

TEST_P(Things, AreFoundWhereTheRuleSays) {
  Translator translator({rule(GetParam().rule), std::nullopt});
  SourceMessage message{GetParam().topic, GetParam().key, report_text, ""};
  message.headers = {{"device-id", "of-header"}};
  const Translation out = translator.translate(message);
  EXPECT_EQ(out.thing, GetParam().thing) << out.why;
  EXPECT_EQ(out.ok(), !GetParam().thing.empty());
  if (!out.ok()) EXPECT_EQ(out.refusal, refusal::no_thing);
}

INSTANTIATE_TEST_SUITE_P(Rules, Things,
                         ::testing::Values(RuleCase{"key", "t", "dev1", "dev1"}, RuleCase{"key", "t", "", ""},
                                           RuleCase{"key", "t", "a/b", ""},
                                           RuleCase{"topic devices/{thing}/metrics", "devices/d1/metrics", "", "d1"},
                                           RuleCase{"topic devices/{thing}/metrics", "devices/d1/metrics/x", "", ""},
                                           RuleCase{"topic devices/{thing}/metrics", "devices/d1", "", ""},
                                           RuleCase{"topic devices/{thing}/metrics", "other/d1/metrics", "", ""},
                                           RuleCase{"topic +/{thing}/#", "site/d1/a/b", "", "d1"},
                                           RuleCase{"topic $aws/things/{thing}/defender/metrics/{format}",
                                                    "$aws/things/d1/defender/metrics/json", "", "d1"},
                                           RuleCase{"topic $aws/things/{thing}/defender/metrics/{format}",
                                                    "$aws/things/d1/defender/metrics/xml", "", ""},
                                           RuleCase{"header device-id", "t", "dev1", "of-header"},
                                           RuleCase{"header other", "t", "dev1", ""},
                                           RuleCase{"field /header/version", "t", "", ""}));

TEST(ThingRules, WhatIsNoRuleSaysWhy) {
  for (const auto& [text, why] :
       std::vector<std::pair<std::string, std::string>>{{"", "says of no thing"},
                                                        {"key x", "says of no thing"},
                                                        {"topic", "says of no thing"},
                                                        {"topic devices/+/metrics", "needs the level {thing} once"},
                                                        {"topic {thing}/{thing}", "needs the level {thing} once"},
                                                        {"topic {thing}/{format}/{format}", "more than once"},
                                                        {"topic a{thing}/b", "neither {thing} nor {format}"},
                                                        {"topic {thing}/#/b", "no topic filter"},
                                                        {"field device", "is no JSON Pointer"},
                                                        {"field /a/*", "may have no *"},
                                                        {"field /a/~2", "neither ~0"}}) {
    const auto made = ThingRule::parse(text);
    ASSERT_FALSE(made.ok()) << text;
    EXPECT_THAT(made.error().message, HasSubstr(why)) << text;
  }
}

TEST(ThingRules, APatternIsAFilter) {
  EXPECT_EQ(TopicPattern::parse("$aws/things/{thing}/defender/metrics/{format}")->filter(),
            "$aws/things/+/defender/metrics/+");
}

TEST(Translators, AFieldMayNameTheThing) {
  Translator translator(
      {rule("field /device/id"), mapping(R"({"metrics":[{"name":"t","path":"/t","type":"number"}]})")});
  const Translation good = translator.translate({"t", "", R"({"device":{"id":"d1"},"t":1})", ""});
  EXPECT_EQ(good.thing, "d1") << good.why;
  EXPECT_EQ(translator.translate({"t", "", R"({"device":{"id":5},"t":1})", ""}).refusal, refusal::no_thing);
}

// ---- reports as they are

TEST(Translators, AReportIsPassedOnUntouched) {
  Translator translator({rule("key"), std::nullopt});
  const Translation out = translator.translate({"t", "d1", report_text, ""});
  ASSERT_TRUE(out.ok()) << out.why;
  EXPECT_EQ(out.report, report_text);
  EXPECT_EQ(out.encoding, report::Encoding::json);
}

TEST(Translators, TheTopicThenTheContentTypeThenTheSourceSayTheEncoding) {
  // {"header": {"report_id": 7, "version": "1.0"}, "metrics": {}} in CBOR
  const std::string cbor =
      "\xA2\x66header\xA2\x69report_id\x07\x67version\x63"
      "1.0\x67metrics\xA0";
  Translator by_topic({rule("topic {thing}/{format}"), std::nullopt});
  EXPECT_EQ(by_topic.translate({"d1/cbor", "", cbor, "application/json"}).encoding, report::Encoding::cbor);
  EXPECT_EQ(by_topic.translate({"d1/json", "", cbor, "application/cbor"}).refusal, refusal::bad_payload);
  Translator by_key({rule("key"), std::nullopt, report::Encoding::cbor});
  EXPECT_TRUE(by_key.translate({"t", "d1", cbor, ""}).ok());
  EXPECT_TRUE(by_key.translate({"t", "d1", report_text, "application/json"}).ok());
}

TEST(Translators, WhatIsNoReportIsRefusedWithTheReason) {
  Translator translator({rule("key"), std::nullopt});
  const Translation out = translator.translate({"t", "d1", R"({"header":{"report_id":7}})", ""});
  EXPECT_EQ(out.refusal, refusal::bad_payload);
  EXPECT_THAT(out.why, HasSubstr("version"));
  const std::string large(report::payload_bytes_max + 1, ' ');
  EXPECT_EQ(translator.translate({"t", "d1", large, ""}).refusal, refusal::too_large);
}

// ---- mappings

constexpr std::string_view everything = R"({"report_id":"/seq","metrics":[
  {"name":"aws:all-bytes-out","path":"/net/tx","type":"count"},
  {"name":"aws:num-listening-udp-ports","path":"/udp","type":"count"},
  {"name":"aws:listening-tcp-ports","path":"/sockets/*/port","type":"ports"},
  {"name":"aws:destination-ip-addresses","path":"/peers","type":"addresses"},
  {"name":"celsius","path":"/sensors/1/value","type":"number","required":true},
  {"name":"users","path":"/us~1ers","type":"strings"},
  {"name":"loads","path":"/loads","type":"numbers"},
  {"name":"resolvers","path":"/dns","type":"addresses"},
  {"name":"boots","path":"/boots","type":"count"}]})";

TEST(Mappings, MakeAReportOfAMessage) {
  Translator translator({rule("key"), mapping(everything)});
  const Translation out = translator.translate({"t", "d1",
                                                R"({"seq":9,"net":{"tx":77},"udp":2,"sockets":[{"port":22},{"port":80}],
           "peers":["10.0.0.1","10.0.0.2:443","2001:db8::1"],"sensors":[{},{"value":-3.5}],
           "us/ers":["root"],"loads":[0.5,1],"dns":["9.9.9.9"],"boots":null})",
                                                ""});
  ASSERT_TRUE(out.ok()) << out.why;
  EXPECT_EQ(parse(out.report), parse(R"({"header":{"report_id":9,"version":"1.0"},
    "metrics":{"network_stats":{"bytes_out":77},"listening_udp_ports":{"total":2},
      "listening_tcp_ports":{"ports":[{"port":22},{"port":80}]},
      "tcp_connections":{"established_connections":{"connections":[{"remote_addr":"10.0.0.1:0"},
        {"remote_addr":"10.0.0.2:443"},{"remote_addr":"[2001:db8::1]:0"}]}}},
    "custom_metrics":{"celsius":[{"number":-3.5}],"users":[{"string_list":["root"]}],
      "loads":[{"number_list":[0.5,1]}],"resolvers":[{"ip_list":["9.9.9.9"]}]}})"));
}

TEST(Mappings, WithoutOneOfItsOwnAMessageGetsTheReportIdThatItIsGiven) {
  Translator translator({rule("key"), mapping(everything)});
  SourceMessage message{"t", "d1", R"({"sensors":[0,{"value":1}]})", ""};
  message.report_id = 41;
  const Translation out = translator.translate(message);
  ASSERT_TRUE(out.ok()) << out.why;
  EXPECT_EQ(parse(out.report)["header"]["report_id"], 41);
}

struct MessageCase {
  std::string name, message, why;
};
class Refused : public ::testing::TestWithParam<MessageCase> {};

TEST_P(Refused, AMessageThatIsNotAsMappedNamesTheField) {
  Translator translator({rule("key"), mapping(everything)});
  Value message = {{"sensors", {0, {{"value", 1}}}}};
  message.update(parse(GetParam().message));
  const std::string text = json::dump(message);
  const Translation out = translator.translate({"t", "d1", text, ""});
  EXPECT_EQ(out.refusal, refusal::bad_payload);
  EXPECT_THAT(out.why, HasSubstr(GetParam().why));
}

INSTANTIATE_TEST_SUITE_P(Messages, Refused,
                         ::testing::Values(MessageCase{"Required", R"({"sensors":[]})", "/sensors/1/value is missing"},
                                           MessageCase{"Negative", R"({"net":{"tx":-1}})", "/net/tx: is not a count"},
                                           MessageCase{"Fraction", R"({"net":{"tx":1.5}})", "/net/tx: is not a count"},
                                           MessageCase{"Text", R"({"sensors":[0,{"value":"1"}]})",
                                                       "/sensors/1/value: is not a number"},
                                           MessageCase{"Port", R"({"sockets":[{"port":70000}]})",
                                                       "/sockets/*/port: has an element that is not a port"},
                                           MessageCase{"Address", R"({"peers":["host"]})",
                                                       "/peers: has an element that is not an IP address"},
                                           MessageCase{"NoList", R"({"peers":"10.0.0.1"})", "/peers: is not a list"},
                                           MessageCase{"Strings", R"({"us/ers":[1]})", "not one of strings"},
                                           MessageCase{"Numbers", R"({"loads":["1"]})", "not one of numbers"},
                                           MessageCase{"Addresses", R"({"dns":["x"]})", "not one of addresses"},
                                           MessageCase{"Seq", R"({"seq":"a"})", "/seq is not a count"}),
                         [](const auto& p) { return p.param.name; });

TEST(Mappings, AMessageWithoutAnyMappedFieldIsNoReport) {
  Translator translator({rule("key"), mapping(R"({"metrics":[{"name":"a","path":"/a","type":"number"}]})")});
  EXPECT_THAT(translator.translate({"t", "d1", R"({"b":1})", ""}).why, HasSubstr("none of the mapped fields"));
  EXPECT_EQ(translator.translate({"t", "d1", "no JSON", ""}).refusal, refusal::bad_payload);
}

TEST(Mappings, EveryProblemIsToldInOneRun) {
  const auto made = Mapping::from_json(parse(R"({"report_id":"seq","metric":1,"metrics":[
    {"name":"aws:all-bytes-out","path":"/a","type":"number"},
    {"name":"aws:num-messages-sent","path":"/a","type":"count"},
    {"name":"a b","path":"b","type":"float"},
    {"name":"c","path":"/c/*","type":"number"},
    {"name":"c","path":"/d","type":"number","requierd":true}]})"));
  ASSERT_FALSE(made.ok());
  for (const std::string_view words :
       {"mapping.report_id 'seq' is no JSON Pointer", "mapping.metric", "metrics[0].type must be count",
        "metrics[1].name is no metric that a report can carry", "metrics[2].name has other characters",
        "metrics[2].path 'b' is no JSON Pointer", "metrics[2].type is not one of count", "metrics[3].path has a *",
        "metrics[4].name is there twice", "requierd"}) {
    EXPECT_THAT(made.error().message, HasSubstr(words));
  }
}

TEST(Mappings, AnEmptyOneIsRefused) {
  EXPECT_FALSE(Mapping::from_json(parse("[]")).ok());
  EXPECT_THAT(Mapping::from_json(parse(R"({"metrics":[]})")).error().message, HasSubstr("1 to 200"));
}

TEST(Pointers, FollowListsByIndexWithoutLeadingZeros) {
  const Value root = parse(R"({"a":[10,20],"~":{"/":1}})");
  EXPECT_EQ(*Pointer::parse("/a/1")->find(root).front(), 20);
  EXPECT_TRUE(Pointer::parse("/a/01")->find(root).empty());
  EXPECT_TRUE(Pointer::parse("/a/2")->find(root).empty());
  EXPECT_TRUE(Pointer::parse("/a/-")->find(root).empty());
  EXPECT_EQ(*Pointer::parse("/~0/~1")->find(root).front(), 1);
  EXPECT_FALSE(Pointer::parse("/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a").ok());
}

}  // namespace
}  // namespace fleetward::collect
