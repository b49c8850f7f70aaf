#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "json/json.hpp"
#include "report/parser.hpp"
#include "report/reply.hpp"

namespace fleetward::report {
namespace {

using fleet::CustomMetricType;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const CustomMetricTable& customs() {
  static const CustomMetricTable table({{"cpu-usage", CustomMetricType::number, ""},
                                        {"cores", CustomMetricType::number_list, ""},
                                        {"interfaces", CustomMetricType::string_list, ""},
                                        {"dns", CustomMetricType::ip_address_list, ""}});
  return table;
}

class Parser : public ::testing::Test {
 protected:
  const Report* accepted(std::string_view text) {
    auto result = parser_.parse(as_bytes(text), customs());
    EXPECT_TRUE(result.ok()) << (result ? "" : result.error().message);
    return result ? *result : nullptr;
  }
  std::string refused(std::string_view text) {
    auto result = parser_.parse(as_bytes(text), customs());
    EXPECT_FALSE(result.ok()) << text;
    return result ? "" : result.error().message;
  }
  // A report whose `metrics` or `custom_metrics` is given.
  static std::string with_metrics(std::string_view metrics) {
    return fmt::format(R"({{"header":{{"report_id":7,"version":"1.0"}},"metrics":{}}})", metrics);
  }
  static std::string with_customs(std::string_view customs) {
    return fmt::format(R"({{"header":{{"report_id":7,"version":"1.0"}},"custom_metrics":{}}})", customs);
  }
  ReportParser parser_;
};

TEST_F(Parser, ReadsTheDocumentedLongForm) {
  const Report* r = accepted(R"({"header":{"report_id":1530304554,"version":"1.0"},
    "metrics":{"listening_tcp_ports":{"ports":[{"interface":"eth0","port":24800},{"interface":"eth0","port":22}],"total":3},
      "listening_udp_ports":{"ports":[{"interface":"eth0","port":5353}],"total":1},
      "network_stats":{"bytes_in":29358693495,"bytes_out":26485035,"packets_in":10013573555,"packets_out":11382615},
      "tcp_connections":{"established_connections":{"connections":[
        {"local_interface":"eth0","local_port":80,"remote_addr":"192.168.0.1:8000"},
        {"remote_addr":"[2001:db8::7]:8001"}],"total":20}}},
    "custom_metrics":{"cpu-usage":[{"number":12.5}],"cores":[{"number_list":[1,-2.5]}],
      "interfaces":[{"string_list":["eth0","wlan/1"]}],"dns":[{"ip_list":["9.9.9.9","2620:fe::fe"]}]}})");
  ASSERT_NE(r, nullptr);
  EXPECT_EQ(r->report_id, 1530304554);
  EXPECT_EQ(r->version, "1.0");
  EXPECT_THAT(r->tcp_ports.items, ElementsAre(24800, 22));
  EXPECT_EQ(r->tcp_ports_total, 3) << "the total is the agent's, not the list's length";
  EXPECT_EQ(r->bytes_in, 29358693495);
  EXPECT_EQ(r->packets_out, 11382615);
  ASSERT_EQ(r->connections.items.size(), 2U);
  EXPECT_EQ(to_text(r->connections.items[1].remote.address), "2001:db8::7");
  EXPECT_EQ(r->connections.items[1].remote.port, 8001);
  EXPECT_EQ(r->connections_total, 20);
  ASSERT_EQ(r->customs.size(), 4U);
  EXPECT_EQ(r->customs[0].number, 12.5);
  EXPECT_THAT(r->numbers, ElementsAre(1, -2.5));
  EXPECT_THAT(r->strings, ElementsAre("eth0", "wlan/1"));
  EXPECT_EQ(r->addresses.size(), 2U);
  EXPECT_EQ(r->problem_count, 0U);
}

TEST_F(Parser, ReadsShortAndMixedNames) {
  const Report* r =
      accepted(R"({"hed":{"rid":1,"v":"1.0"},"met":{"tp":{"pts":[{"port":22,"interface":"::"},{"pt":23}],"t":2},
      "up":{"pts":[],"t":0},"ns":{"bi":1,"bytes_out":2},"tc":{"ec":{"cs":[{"rad":"1.2.3.4:5","lp":6,"li":null}],"total":1}}},
      "cmet":{"cpu-usage":[{"number":1}]}})");
  ASSERT_NE(r, nullptr);
  EXPECT_THAT(r->tcp_ports.items, ElementsAre(22, 23));
  EXPECT_TRUE(r->udp_ports.present);
  EXPECT_TRUE(r->udp_ports.items.empty());
  EXPECT_EQ(r->bytes_in, 1);
  EXPECT_EQ(r->bytes_out, 2);
  EXPECT_EQ(r->packets_in, std::nullopt);
  EXPECT_EQ(r->connections.items[0].local_port, 6);
}

TEST_F(Parser, TakesPortsAsTextNullsAndWholeFloats) {
  const Report* r = accepted(with_metrics(
      R"({"listening_tcp_ports":{"ports":[{"port":"8883","interface":null}],"total":null},"listening_udp_ports":null,
          "network_stats":{"bytes_in":3.0},"tcp_connections":{"established_connections":{"connections":
          [{"remote_addr":"1.2.3.4:443","local_port":"51000"}]}}})"));
  ASSERT_NE(r, nullptr);
  EXPECT_THAT(r->tcp_ports.items, ElementsAre(8883));
  EXPECT_EQ(r->tcp_ports_total, std::nullopt);
  EXPECT_FALSE(r->udp_ports.present);
  EXPECT_EQ(r->bytes_in, 3);
  EXPECT_EQ(r->connections.items[0].local_port, 51000);
}

TEST_F(Parser, ForgetsTheReportBefore) {
  accepted(with_metrics(R"({"network_stats":{"bytes_in":5},"listening_tcp_ports":{"ports":[{"port":1}]}})"));
  const Report* r = accepted(with_metrics("{}"));
  EXPECT_EQ(r->bytes_in, std::nullopt);
  EXPECT_FALSE(r->tcp_ports.present);
  EXPECT_TRUE(r->tcp_ports.items.empty());
}

TEST_F(Parser, IgnoresUnknownMembersButReadsThem) {
  EXPECT_NE(accepted(with_metrics(R"({"later":{"a":[1,{"b":null}],"c":true}})")), nullptr);
  EXPECT_THAT(refused(with_metrics(R"({"later":{"a":[1,{"b":1e999}]}})")), HasSubstr("metrics.later.a[1].b"));
  EXPECT_THAT(refused(with_metrics(R"({"later":{"a":1,"\u0061":2}})")), HasSubstr("has the member 'a' twice"));
  EXPECT_THAT(refused(with_metrics(R"({"later":"\q"})")), HasSubstr("not well-formed"));
}

TEST_F(Parser, NamesTheFieldThatIsWrong) {
  const auto ports = [](std::string_view list) {
    return with_metrics(fmt::format(R"({{"listening_tcp_ports":{{"ports":{}}}}})", list));
  };
  EXPECT_THAT(refused(ports(R"([{"port":1},{"port":2},{"port":65536}])")),
              HasSubstr("metrics.listening_tcp_ports.ports[2].port is above 65535"));
  EXPECT_THAT(refused(ports(R"([{"pt":0}])")), HasSubstr("ports[0].port is below 1"));
  EXPECT_THAT(refused(ports(R"([{"port":"22x"}])")), HasSubstr("is not a port"));
  EXPECT_THAT(refused(ports(R"([{"port":22.5}])")), HasSubstr("is not a whole number"));
  EXPECT_THAT(refused(ports(R"([{"interface":"eth0"}])")), HasSubstr("ports[0] has no port"));
  EXPECT_THAT(refused(ports(R"({"port":22})")), HasSubstr("ports is not a list"));
  EXPECT_THAT(refused(with_metrics(R"({"network_stats":{"bytes_in":-1}})")), HasSubstr("bytes_in is below 0"));
  EXPECT_THAT(refused(with_metrics(R"({"network_stats":{"bo":9223372036854775808}})")), HasSubstr("bytes_out"));
  EXPECT_THAT(
      refused(with_metrics(R"({"tc":{"ec":{"cs":[{"rad":"evil.example:80"}]}}})")),
      HasSubstr("metrics.tcp_connections.established_connections.connections[0].remote_addr is not an address"));
  EXPECT_THAT(refused(with_metrics(R"({"tc":{"ec":{"cs":[{"lp":80}]}}})")), HasSubstr("has no remote_addr"));
  EXPECT_THAT(refused(with_metrics("[]")), HasSubstr("metrics is not an object"));
}

TEST_F(Parser, RefusesTheSameFieldTwice) {
  EXPECT_THAT(refused(with_metrics(R"({"network_stats":{"bytes_in":1,"bytes_in":2}})")),
              HasSubstr("metrics.network_stats.bytes_in is there twice"));
  EXPECT_THAT(refused(with_metrics(R"({"network_stats":{"bytes_in":1,"bi":2}})")), HasSubstr("is there twice"));
  EXPECT_THAT(refused(with_metrics(R"({"network_stats":{"bytes_in":1,"bytes\u005fin":2}})")), HasSubstr("twice"));
  EXPECT_THAT(refused(R"({"hed":{"rid":1,"v":"1.0"},"met":{},"metrics":{}})"), HasSubstr("twice"));
  EXPECT_THAT(refused(with_customs(R"({"x":[{"number":1}],"y":[{"number":1}],"x":[{"number":1}]})")),
              HasSubstr("has the member 'x' twice"));
}

TEST_F(Parser, RefusesWhatIsNotOneJsonObject) {
  for (const std::string_view text : {"", " ", "[]", "3", "{", "{}}", "{\"header\":{\"report_id\":1}", "nul", "{]"}) {
    refused(text);
  }
  EXPECT_THAT(refused(with_metrics("{}") + " x"), HasSubstr("report"));
  EXPECT_THAT(refused(with_metrics("{}") + "{}"), HasSubstr("report"));
  EXPECT_THAT(refused(with_metrics("{\"a\":\"\xC3\x28\"}")), HasSubstr("UTF-8"));
  EXPECT_THAT(refused(with_metrics("{\"a\":\"\x01\"}")), HasSubstr("not well-formed"));
  EXPECT_THAT(refused(std::string(payload_bytes_max + 1, ' ')), HasSubstr("larger than 131072"));
  std::string deep(200, '[');
  deep.append(200, ']');
  EXPECT_THAT(refused(with_metrics("{\"a\":" + deep + "}")), HasSubstr("nested deeper"));
}

TEST_F(Parser, NeedsTheEnvelope) {
  EXPECT_THAT(refused(R"({"metrics":{}})"), HasSubstr("has no header"));
  EXPECT_THAT(refused(R"({"header":{"version":"1.0"},"metrics":{}})"), HasSubstr("header has no report_id"));
  EXPECT_THAT(refused(R"({"header":{"report_id":1},"metrics":{}})"), HasSubstr("header has no version"));
  EXPECT_THAT(refused(R"({"header":{"report_id":0,"version":"1.0"},"metrics":{}})"), HasSubstr("is below 1"));
  EXPECT_THAT(refused(R"({"header":{"report_id":1,"version":"2.0"},"metrics":{}})"), HasSubstr("version"));
  EXPECT_THAT(refused(R"({"header":{"report_id":1,"version":"1.0"}})"), HasSubstr("neither metrics nor"));
  EXPECT_THAT(refused(R"({"header":{"report_id":1,"version":"1.0"},"metrics":null})"), HasSubstr("neither"));
}

TEST_F(Parser, KnowsTheIdOfARefusedReport) {
  refused(R"({"metrics":{"network_stats":{"bytes_in":-1}},"header":{"report_id":55,"version":"1.0"}})");
  EXPECT_EQ(parser_.report_id(), 55);
  refused(R"({"met":[],"hed":{"v":"1.0","rid":56}})");
  EXPECT_EQ(parser_.report_id(), 56);
  refused("{}");
  EXPECT_EQ(parser_.report_id(), std::nullopt);
}

TEST_F(Parser, ABareObjectAsCustomMetricRefusesTheReport) {
  EXPECT_THAT(refused(with_customs(R"({"cpu-usage":{"number":1}})")),
              HasSubstr("custom_metrics.cpu-usage is an object; it must be a list of exactly one object"));
}

TEST_F(Parser, TellsCustomMetricsThatItDoesNotTake) {
  const Report* r = accepted(with_customs(R"({"unknown":[{"number":1}],"cpu-usage":[{"string_list":["a"]}],
      "cores":[{"number_list":[1,"2",3]}],"interfaces":[{"string_list":["eth0","b c"]}],"dns":[{"ip_list":["1.2.3.4.5"]}]})"));
  ASSERT_NE(r, nullptr);
  EXPECT_THAT(r->customs, ::testing::IsEmpty());
  EXPECT_TRUE(r->numbers.empty() && r->strings.empty() && r->addresses.empty());
  ASSERT_EQ(r->problem_count, 5U);
  EXPECT_EQ(r->problems[0].name, "unknown");
  EXPECT_THAT(r->problems[0].reason, HasSubstr("not a custom metric that is defined"));
  EXPECT_THAT(r->problems[1].reason, HasSubstr("another type"));
  EXPECT_THAT(r->problems[4].reason, HasSubstr("not an IP address"));
  for (const std::string_view bad :
       {R"({"cpu-usage":[]})", R"({"cpu-usage":[{"number":1},{"number":2}]})", R"({"cpu-usage":[{}]})",
        R"({"cpu-usage":[{"number":"1"}]})", R"({"cpu-usage":[{"number":1,"number_list":[]}]})", R"({"cpu-usage":5})",
        R"({"cpu-usage":[5]})", R"({"cpu-usage":null})", R"({"cpu-usage":[{"number":1.234567890123456}]})"}) {
    r = accepted(with_customs(bad));
    ASSERT_NE(r, nullptr);
    EXPECT_EQ(r->problem_count, 1U) << bad;
    EXPECT_TRUE(r->customs.empty()) << bad;
  }
  EXPECT_EQ(accepted(with_customs(R"({"cpu-usage":[{"number":-99.9999999999999}]})"))->customs.size(), 1U);
}

TEST_F(Parser, BoundsTheProblemsThatItTells) {
  std::string many = "{";
  for (int i = 0; i < 1000; ++i) many += fmt::format("{}\"m{}\":[]", i == 0 ? "" : ",", i);
  const Report* r = accepted(with_customs(many + "}"));
  EXPECT_EQ(r->problem_count, 1000U);
  EXPECT_EQ(r->problems.size(), problems_max);
}

TEST(Addresses, ParseStrictly) {
  EXPECT_EQ(parse_ip("::ffff:1.2.3.4"), parse_ip("1.2.3.4"));
  EXPECT_EQ(parse_ip("fe80::1%eth0"), parse_ip("fe80::1"));
  for (const std::string_view bad :
       {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.4 ", "a", ":::", "1::2::3"}) {
    EXPECT_EQ(parse_ip(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(parse_endpoint("2001:db8::1:80")->port, 80);
  EXPECT_EQ(parse_endpoint("[2001:db8::1]:80")->address, parse_ip("2001:db8::1"));
  for (const std::string_view bad :
       {"1.2.3.4", "1.2.3.4:", "1.2.3.4:x", "[1.2.3.4]:1", "[::1:1", ":80", "1.2.3.4:65536"}) {
    EXPECT_EQ(parse_endpoint(bad), std::nullopt) << bad;
  }
}

TEST(Cidrs, HoldWhatIsInThem) {
  const auto set = CidrSet::parse({"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "11.0.0.0/8"});
  ASSERT_TRUE(set.ok());
  for (const char* in :
       {"10.0.0.0", "10.255.255.255", "11.0.0.1", "192.0.2.7", "2001:db8:ffff::1", "::ffff:10.2.3.4"}) {
    EXPECT_TRUE(set->contains(*parse_ip(in))) << in;
  }
  for (const char* out : {"9.255.255.255", "12.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db9::", "::1"}) {
    EXPECT_FALSE(set->contains(*parse_ip(out))) << out;
  }
  EXPECT_TRUE(CidrSet::parse({"0.0.0.0/0"})->contains(*parse_ip("255.255.255.255")));
  EXPECT_FALSE(CidrSet::parse({"::/0"})->contains(*parse_ip("1.2.3.4"))) << "all of IPv6 is none of IPv4";
  EXPECT_FALSE(CidrSet().contains(*parse_ip("0.0.0.0")));
  for (const char* bad : {"10.0.0.0/33", "x", "10.0.0.0/", "2001::/129", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(CidrSet::parse({bad}).ok()) << bad;
  }
}

TEST(Replies, AreDeviceDefenders) {
  Report report;
  report.report_id = 42;
  const auto accepted = json::parse(accepted_reply("dev-1", report, instant_from_ms(1000)));
  EXPECT_EQ(*accepted, *json::parse(R"({"thingName":"dev-1","reportId":42,"status":"ACCEPTED","timestamp":1000})"));
  const auto rejected =
      json::parse(rejected_reply("dev-1", 42, reply_code::invalid_payload, "metrics \x1b[31m", instant_from_ms(5)));
  EXPECT_EQ((*rejected)["statusDetails"]["ErrorCode"], "InvalidPayload");
  EXPECT_EQ((*rejected)["statusDetails"]["ErrorMessage"], "metrics \\x1b[31m");
  EXPECT_EQ((*rejected)["reportId"], 42);
  EXPECT_FALSE(json::parse(rejected_reply("d", std::nullopt, "InvalidPayload", "x", {}))->contains("reportId"));
  const auto cbor = json::Value::from_cbor(accepted_reply("dev-1", report, instant_from_ms(1000), Encoding::cbor));
  EXPECT_EQ(cbor, *accepted) << "the same map, in CBOR";
  EXPECT_EQ(json::Value::from_cbor(rejected_reply("dev-1", 42, reply_code::invalid_payload, "metrics \x1b[31m",
                                                  instant_from_ms(5), Encoding::cbor)),
            *rejected);
  report.problems.push_back({"m", "is not defined"});
  report.problem_count = 1;
  EXPECT_EQ((*json::parse(accepted_reply("d", report, {})))["statusDetails"]["customMetricProblems"][0]["name"], "m");
}

}  // namespace
}  // namespace fleetward::report
