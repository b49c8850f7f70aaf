// Alert targets of profiles: checked when they come in, given back as they were.
#include <gmock/gmock.h>

#include "services/api/behavior_checks.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using json::Value;
using ::testing::HasSubstr;

const Value good = {{"SNS",
                     {{"alertTargetArn", "arn:aws:sns:eu-central-1:123456789012:alerts"},
                      {"roleArn", "arn:aws:iam::123456789012:role/service-role/alerts"}}}};

TEST(AlertTargets, AreThoseOfTheApi) {
  EXPECT_TRUE(check_alert_targets(Value::object()).ok());
  EXPECT_TRUE(check_alert_targets(good).ok());
  EXPECT_FALSE(check_alert_targets(Value::array()).ok());
  EXPECT_FALSE(check_alert_targets({{"SNS", "arn"}}).ok());
  const auto with = [](const char* member, const Value& value) {
    Value changed = good;
    changed["SNS"][member] = value;
    return check_alert_targets(changed);
  };
  EXPECT_TRUE(with("alertTargetArn", "arn:aws-cn:sns:cn-north-1:123456789012:a").ok());
  for (const Value& bad : {Value("arn:aws:sqs:eu-central-1:123456789012:a"), Value("arn:aws:sns::123456789012:a"),
                           Value("arn:aws:sns:eu-central-1:12:a"), Value("arn:aws:sns:eu-central-1:123456789012:"),
                           Value("arn:aws:sns:eu-central-1:123456789012:a b"), Value("x"), Value(5), Value(),
                           Value("arn:aws:sns:eu-central-1:123456789012:" + std::string(2048, 'a'))})
    EXPECT_FALSE(with("alertTargetArn", bad).ok()) << json::dump(bad);
  for (const Value& bad :
       {Value("arn:aws:iam::123456789012:user/a"), Value("arn:aws:iam:x:123456789012:role/a"), Value()})
    EXPECT_FALSE(with("roleArn", bad).ok()) << json::dump(bad);
  EXPECT_FALSE(with("more", "x").ok());
  for (const char* member : {"alertTargetArn", "roleArn"}) {
    Value less = good;
    less["SNS"].erase(member);
    EXPECT_THAT(check_alert_targets(less).error().message, HasSubstr(std::string(member) + " is required"));
  }
  EXPECT_THAT(check_alert_targets({{"EMAIL", good["SNS"]}}).error().message, HasSubstr("only SNS"));
}

class AlertTargetsTest : public ApiTest {};

TEST_F(AlertTargetsTest, AreRefusedOrGivenBackUnchangedByEveryCall) {
  const Value bad = {{"SNS", {{"alertTargetArn", "nowhere"}}}};
  const auto with = [](const Value& targets) { return json::dump({{"alertTargets", targets}}); };
  EXPECT_EQ(call("POST", "/security-profiles/p", with(bad)).error_type(), "InvalidRequestException");
  EXPECT_EQ(call("GET", "/security-profiles/p").status, 404);
  ASSERT_EQ(call("POST", "/security-profiles/p", with(good)).status, 200);
  EXPECT_EQ(call("GET", "/security-profiles/p").body["alertTargets"], good);
  EXPECT_EQ(call("PATCH", "/security-profiles/p", with(bad)).status, 400);
  EXPECT_EQ(call("PATCH", "/security-profiles/p", R"({"securityProfileDescription":"d"})").body["alertTargets"], good);
  EXPECT_EQ(call("PATCH", "/security-profiles/p", R"({"alertTargets":{}})").body["alertTargets"], good)
      << "empty clears nothing";
  Value other = good;
  other["SNS"]["alertTargetArn"] = "arn:aws:sns:eu-central-1:123456789012:other";
  EXPECT_EQ(call("PATCH", "/security-profiles/p", with(other)).body["alertTargets"], other);
  EXPECT_EQ(call("PATCH", "/security-profiles/p", R"({"deleteAlertTargets":true})").body["alertTargets"],
            Value::object());
  EXPECT_EQ(call("GET", "/security-profiles/p").body["alertTargets"], Value::object());
  EXPECT_EQ(call("PUT", "/v1/profiles/q", with(bad)).status, 400);
  EXPECT_EQ(call("PUT", "/v1/profiles/q", with(good)).body["alertTargets"], good);
}

}  // namespace
}  // namespace fleetward::api
