#include "detect/validate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "detect/metric.hpp"
#include "detect/words.hpp"

namespace fleetward::detect {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::vector<fleet::CustomMetric> customs = {{"cpu", fleet::CustomMetricType::number, ""},
                                                  {"cores", fleet::CustomMetricType::number_list, ""},
                                                  {"interfaces", fleet::CustomMetricType::string_list, ""},
                                                  {"dns", fleet::CustomMetricType::ip_address_list, ""}};

fleet::Behavior behavior(std::string_view metric, std::string_view criteria) {
  const auto parsed = fleet::behavior_from_json(
      *json::parse(fmt::format(R"({{"name":"b","metric":"{}","criteria":{}}})", metric, criteria)), "b");
  EXPECT_TRUE(parsed.ok()) << (parsed ? "" : parsed.error().message);
  return *parsed;
}
std::vector<std::string> problems(std::string_view metric, std::string_view criteria) {
  return validate_behavior(behavior(metric, criteria), customs);
}

// The behaviors of Device Defender's own documentation and command-line examples.
TEST(Validate, TakesTheDocumentedSamples) {
  for (
      const auto& [metric, criteria] : std::initializer_list<std::pair<std::string_view, std::string_view>>{
          {"aws:message-byte-size",
           R"({"comparisonOperator":"less-than-equals","value":{"count":100000},"consecutiveDatapointsToAlarm":1})"},
          {"aws:num-messages-sent", R"({"comparisonOperator":"less-than","value":{"count":50},"durationSeconds":300})"},
          {"aws:num-authorization-failures",
           R"({"comparisonOperator":"less-than","value":{"count":5},"durationSeconds":300,"consecutiveDatapointsToAlarm":1,"consecutiveDatapointsToClear":1})"},
          {"aws:num-authorization-failures",
           R"({"comparisonOperator":"less-than","durationSeconds":300,"statisticalThreshold":{"statistic":"p90"}})"},
          {"aws:source-ip-address",
           R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["12.8.0.0/16","15.102.16.0/24"]}})"},
          {"aws:destination-ip-addresses",
           R"({"comparisonOperator":"not-in-cidr-set","value":{"cidrs":["fe80::/10"]}})"},
          {"aws:listening-tcp-ports", R"({"comparisonOperator":"in-port-set","value":{"ports":[443,80]}})"},
          {"aws:num-listening-tcp-ports",
           R"({"comparisonOperator":"less-than-equals","value":{"count":5},"durationSeconds":300})"},
          {"aws:disconnect-duration", R"({"comparisonOperator":"less-than-equals","value":{"count":5}})"},
          {"aws:num-connection-attempts",
           R"({"mlDetectionConfig":{"confidenceLevel":"HIGH"},"consecutiveDatapointsToAlarm":1})"},
          {"cpu", R"({"comparisonOperator":"greater-than","value":{"number":-2.5}})"},
          {"cpu", R"({"comparisonOperator":"greater-than","value":{"count":2}})"},
          {"cores", R"({"comparisonOperator":"in-set","value":{"numbers":[1,2.5]}})"},
          {"interfaces", R"({"comparisonOperator":"not-in-set","value":{"strings":["eth9"]}})"},
          {"dns", R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["9.9.9.9/32"]}})"}}) {
    EXPECT_THAT(problems(metric, criteria), IsEmpty()) << metric << " " << criteria;
  }
}

TEST(Validate, SpeaksAsDeviceDefenderDoes) {
  EXPECT_THAT(problems("aws:num-messages-sent",
                       R"({"comparisonOperator":"less-than","value":{"count":5},"durationSeconds":301})"),
              ElementsAre("Behavior b is malformed. durationSeconds 301 should be one of [300, 600, 900, 1800, 3600]"));
  EXPECT_THAT(problems("aws:num-messages-sent", R"({"comparisonOperator":"less-than","value":{"count":5}})"),
              ElementsAre("Behavior b is malformed. durationSeconds is required for metric aws:num-messages-sent"));
  EXPECT_THAT(
      problems("aws:listening-tcp-ports",
               R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/8"]},"durationSeconds":300})"),
      ElementsAre(HasSubstr("durationSeconds is not allowed"),
                  HasSubstr("comparisonOperator in-cidr-set is not allowed"), HasSubstr("value.cidrs is not allowed")));
  EXPECT_THAT(
      problems("aws:source-ip-address", R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/99"]}})"),
      ElementsAre(HasSubstr("'10.0.0.0/99' is not a CIDR")));
  EXPECT_THAT(problems("aws:disconnect-duration", R"({"comparisonOperator":"greater-than","value":{"count":5}})"),
              SizeIs(1));
  EXPECT_THAT(problems("aws:all-bytes-out",
                       R"({"comparisonOperator":"less-than","value":{"number":5.5},"durationSeconds":300})"),
              ElementsAre(HasSubstr("value.number is not allowed")));
  EXPECT_THAT(problems("cores", R"({"comparisonOperator":"less-than","value":{"number":1}})"), SizeIs(2));
  EXPECT_THAT(problems("unknown", R"({"comparisonOperator":"less-than","value":{"count":1}})"),
              ElementsAre("Behavior b is malformed. metric unknown does not exist"));
  EXPECT_THAT(problems("cpu", "{}"), ElementsAre(HasSubstr("criteria needs")));
  EXPECT_THAT(problems("cpu", R"({"comparisonOperator":"less-than"})"), ElementsAre(HasSubstr("value is required")));
  EXPECT_THAT(
      problems(
          "aws:num-disconnects",
          R"({"comparisonOperator":"less-than","durationSeconds":300,"statisticalThreshold":{"statistic":"p42"}})"),
      ElementsAre(HasSubstr("statistic p42")));
}

TEST(Validate, LooksAtTheProfileAsAWhole) {
  fleet::Behavior rule = behavior("cpu", R"({"comparisonOperator":"less-than","value":{"count":1}})");
  fleet::Behavior ml = behavior("aws:num-disconnects", R"({"mlDetectionConfig":{"confidenceLevel":"LOW"}})");
  EXPECT_THAT(validate_behaviors({rule, rule}, customs), ElementsAre(HasSubstr("The name is there twice")));
  ml.name = "ml";
  EXPECT_THAT(validate_behaviors({rule, ml}, customs), Contains(HasSubstr("either rules or mlDetectionConfig")));
  fleet::Behavior wide =
      behavior("aws:listening-tcp-ports", R"({"comparisonOperator":"in-port-set","value":{"ports":[1]}})");
  wide.criteria->value->ports->assign(600, 1);
  fleet::Behavior wide2 = wide;
  wide2.name = "w2";
  EXPECT_THAT(validate_behaviors({wide, wide2}, customs), ElementsAre(HasSubstr("at most 1000 value elements")));
  EXPECT_THAT(validate_behaviors({wide}, customs), IsEmpty());
}

TEST(Validate, RefusesWhatTheEngineDoesNotEvaluate) {
  const fleet::Behavior statistical = behavior(
      "aws:num-messages-sent",
      R"({"comparisonOperator":"less-than","durationSeconds":300,"statisticalThreshold":{"statistic":"p90"}})");
  EXPECT_THAT(validate_behaviors({statistical}, customs), IsEmpty());
  EXPECT_THAT(validate_behaviors(
                  {behavior("aws:num-disconnects", R"({"mlDetectionConfig":{"confidenceLevel":"LOW"}})")}, customs),
              ElementsAre("Behavior b is not supported yet. mlDetectionConfig would not be evaluated"));
  fleet::Behavior narrow = behavior("aws:num-messages-sent",
                                    R"({"comparisonOperator":"less-than","value":{"count":50},"durationSeconds":300})");
  EXPECT_THAT(validate_behaviors({narrow}, customs), IsEmpty());
}

TEST(Validate, DimensionsNarrowWhatIsAboutMessages) {
  const auto problems = [](std::string_view metric, std::string_view criteria) {
    fleet::Behavior b = behavior(metric, criteria);
    b.dimension = fleet::MetricDimension{"d", true};
    return validate_behaviors({b}, customs, {"c", "d"});
  };
  constexpr std::string_view sum = R"({"comparisonOperator":"less-than","value":{"count":50},"durationSeconds":300})";
  for (const std::string_view metric :
       {"aws:num-messages-sent", "aws:num-messages-received", "aws:num-authorization-failures"}) {
    EXPECT_THAT(problems(metric, sum), IsEmpty()) << metric;
  }
  EXPECT_THAT(problems("aws:message-byte-size", R"({"comparisonOperator":"less-than","value":{"count":50}})"),
              IsEmpty());
  EXPECT_THAT(
      problems("aws:source-ip-address", R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/8"]}})"),
      IsEmpty());
  for (const std::string_view metric : {"aws:num-connection-attempts", "aws:num-disconnects", "aws:all-bytes-out"}) {
    EXPECT_THAT(
        problems(metric, sum),
        ElementsAre(fmt::format("Behavior b is malformed. metricDimension is not allowed for metric {}", metric)));
  }
  EXPECT_THAT(problems("aws:disconnect-duration", R"({"comparisonOperator":"less-than","value":{"count":50}})"),
              ElementsAre(HasSubstr("is not allowed for metric aws:disconnect-duration")));
  EXPECT_THAT(problems("cpu", R"({"comparisonOperator":"less-than","value":{"number":50}})"),
              ElementsAre(HasSubstr("is not allowed for metric cpu")));
  fleet::Behavior lost = behavior("aws:num-messages-sent", sum);
  lost.dimension = fleet::MetricDimension{"e", false};
  EXPECT_THAT(validate_behaviors({lost}, customs, {"c", "d"}),
              ElementsAre("Behavior b is malformed. metricDimension: dimension e does not exist"));
  EXPECT_THAT(validate_retained({"cpu", {}}, {}), IsEmpty());
  EXPECT_THAT(validate_retained({"cpu", lost.dimension}, {"e"}),
              ElementsAre("Metric cpu to retain is malformed. metricDimension is not allowed for metric cpu"));
  EXPECT_THAT(validate_retained({"aws:num-messages-sent", lost.dimension}, {"e"}), IsEmpty());
  EXPECT_THAT(validate_retained({"aws:num-messages-sent", lost.dimension}, {}),
              ElementsAre(HasSubstr("dimension e does not exist")));
}

TEST(Words, AreTheSameEverywhere) {
  const auto expected = [](std::string_view metric, std::string_view criteria) {
    return describe_expected(behavior(metric, criteria));
  };
  EXPECT_EQ(expected("aws:all-bytes-out",
                     R"({"comparisonOperator":"less-than","value":{"count":5000000},"durationSeconds":300})"),
            "bytes out below 5000000 in 5 minutes");
  EXPECT_EQ(expected("aws:destination-ip-addresses",
                     R"({"comparisonOperator":"in-cidr-set","value":{"cidrs":["10.0.0.0/8"]}})"),
            "destination addresses within 10.0.0.0/8");
  EXPECT_EQ(expected("aws:listening-tcp-ports", R"({"comparisonOperator":"not-in-port-set","value":{"ports":[23]}})"),
            "listening TCP ports none of 23");
  EXPECT_EQ(expected("aws:disconnect-duration", R"({"comparisonOperator":"less-than","value":{"count":30}})"),
            "time disconnected below 30 minutes");
  EXPECT_EQ(expected("aws:num-disconnects", R"({"mlDetectionConfig":{"confidenceLevel":"LOW"}})"),
            "disconnects as learned");
  fleet::MetricValue hostile;
  hostile.strings = {"a\x1b[2J"};
  EXPECT_THAT(
      describe_seen(behavior("interfaces", R"({"comparisonOperator":"in-set","value":{"strings":["a"]}})"), hostile),
      ::testing::Not(HasSubstr("\x1b")));
}

TEST(Metrics, TableIsInTheOrderOfItsEnum) {
  for (std::size_t i = 0; i < metrics().size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(metrics()[i].metric), i);
    EXPECT_EQ(find_metric(metrics()[i].name), &metrics()[i]);
  }
  EXPECT_EQ(metrics().size(), static_cast<std::size_t>(Metric::custom));
}

}  // namespace
}  // namespace fleetward::detect
