// Violations, what people say of them, and what waits for people: actions and incidents, over HTTPS.
#include <gmock/gmock.h>

#include "core/text.hpp"
#include "fleet/violation.hpp"
#include "repository/action_repository.hpp"
#include "repository/incident_repository.hpp"
#include "repository/violation_repository.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using json::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DecisionsTest : public ApiTest {
 protected:
  fleet::ViolationEvent violation(int number, const std::string& thing) {
    fleet::ViolationEvent e;
    e.violation_id = fmt::format("{:032x}", number);
    e.thing = thing;
    e.profile = "cams";
    e.profile_version = 1;
    e.behavior.name = "ports";
    e.behavior.metric = "aws:listening-tcp-ports";
    e.value = fleet::MetricValue{};
    e.value->ports = std::vector<std::int32_t>{48101};
    e.expected = "listening TCP ports within 22";
    e.seen = "48101";
    e.time = e.start_time = e.received = start_ + Millis(number * 1000);
    return e;
  }
  void record(const fleet::ViolationEvent& event) {
    const auto done =
        in_store<bool>([&](store::Transaction& tx) { return repository::record_violation_event(tx, event); });
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  fleet::Action decide(const fleet::ViolationEvent& event) {
    repository::Policy policy;
    policy.enforcing = true;
    policy.playbook = *respond::playbook_from_json(*json::parse(
        R"({"entries":[{"name":"ask","match":{"profile":"*"},"level":"isolate","mode":"ask","severity":"critical"}]})"));
    const auto decided = in_store<fleet::Action>([&](store::Transaction& tx) -> Result<fleet::Action> {
      auto action = repository::decide(tx, policy, event, start_);
      if (!action) return action.error();
      if (!action->action) return Error(ErrorCode::internal, "nothing was decided");
      const fleet::Action& made = *action->action;
      const fleet::ActionEvent step{made.id + ".1", 1, "awaiting_approval", "responder", "", start_, made};
      if (const Status folded = repository::fold_actions(tx, {step}, start_); !folded) return folded.error();
      return made;
    });
    EXPECT_TRUE(decided.ok()) << decided.error().message;
    return decided.value_or({});
  }
  std::vector<std::string> ids(const Answer& answer, const std::string& list) {
    EXPECT_EQ(answer.status, 200) << answer.text();
    std::vector<std::string> out;
    for (const Value& item : answer.body[list]) out.push_back(item["violationId"].get<std::string>().substr(30));
    return out;
  }
  const Instant start_ = instant_from_ms(1'795'000'000'000);
};

TEST_F(DecisionsTest, ViolationsOnBothFaces) {
  for (int i = 1; i <= 5; ++i) record(violation(i, i % 2 == 0 ? "even" : "odd"));
  fleet::ViolationEvent cleared = violation(5, "odd");
  cleared.type = fleet::ViolationEventType::alarm_cleared;
  cleared.time += Millis(60'000);
  record(cleared);

  EXPECT_THAT(ids(call("GET", "/active-violations"), "activeViolations"), ElementsAre("04", "03", "02", "01"));
  EXPECT_THAT(ids(call("GET", "/active-violations?thingName=even"), "activeViolations"), ElementsAre("04", "02"));
  EXPECT_THAT(ids(call("GET", "/active-violations?behaviorCriteriaType=STATISTICAL"), "activeViolations"), IsEmpty());
  EXPECT_EQ(call("GET", "/active-violations?behaviorCriteriaType=OTHER").status, 400);
  const Value one = call("GET", "/active-violations?thingName=even").body["activeViolations"][0];
  EXPECT_EQ(one["lastViolationValue"]["ports"], Value::array({48101}));
  EXPECT_EQ(one["lastViolationTime"].get<double>(), 1'795'000'004.0) << "seconds, as the API's times are";
  EXPECT_EQ(one["verificationState"], "UNKNOWN");
  std::vector<std::string> paged;
  std::string token;
  do {
    const Answer page = call("GET", "/v1/violations?limit=3" + (token.empty() ? "" : "&nextToken=" + token));
    for (const std::string& id : ids(page, "violations")) paged.push_back(id);
    token = page.body.value("nextToken", "");
  } while (!token.empty());
  EXPECT_THAT(paged, ElementsAre("04", "03", "02", "01"));
  EXPECT_EQ(call("GET", "/v1/violations?thing=odd").body["violations"][0]["seen"], "48101");
  EXPECT_THAT(ids(call("GET", "/v1/violation-events?thing=odd"), "events"), ElementsAre("05", "05", "03", "01"));

  EXPECT_EQ(call("GET", "/violation-events").status, 400) << "both times are required";
  const std::string span = "/violation-events?startTime=1795000002&endTime=2026-11-18T11%3A06%3A44Z";
  EXPECT_THAT(ids(call("GET", span), "violationEvents"), ElementsAre("03", "02")) << "the end is not in it";
  EXPECT_EQ(call("GET", span).body["violationEvents"][0]["violationEventType"], "in-alarm");
}

TEST_F(DecisionsTest, PeopleSayWhatAViolationWas) {
  record(violation(1, "a"));
  const std::string target = "/violations/verification-state/" + violation(1, "a").violation_id;
  EXPECT_EQ(call("POST", target, R"({"verificationState":"MAYBE"})").status, 400);
  EXPECT_EQ(call_as(viewer_, "POST", target, R"({"verificationState":"TRUE_POSITIVE"})").status, 403);
  EXPECT_EQ(call("POST", target, R"({"verificationState":"BENIGN_POSITIVE","verificationStateDescription":"test rig"})")
                .status,
            200);
  const Value read = call("GET", "/active-violations?verificationState=BENIGN_POSITIVE").body["activeViolations"];
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0]["verificationStateDescription"], "test rig");
  EXPECT_EQ(call("POST", "/violations/verification-state/" + std::string(32, 'f'), R"({"verificationState":"UNKNOWN"})")
                .status,
            400);
}

TEST_F(DecisionsTest, WhatWaitsForAPersonIsApprovedOnce) {
  ASSERT_EQ(call("POST", "/things/cam-1").status, 200);
  const fleet::Action waiting = decide(violation(1, "cam-1"));
  const std::string path = "/v1/actions/" + waiting.id;
  EXPECT_EQ(call("GET", "/v1/actions?state=awaiting_approval").body["actions"][0]["id"], waiting.id);
  const Value incident = call("GET", "/v1/incidents?state=open").body["incidents"][0];
  EXPECT_EQ(incident["members"][0]["thing"], "cam-1");
  EXPECT_THAT(incident["text"].get<std::string>(), HasSubstr("48101"));
  EXPECT_EQ(call("GET", "/v1/incidents/" + incident["id"].get<std::string>()).body, incident);
  EXPECT_EQ(call("GET", "/v1/incidents/none").status, 404);
  EXPECT_EQ(call_as(operator_, "POST", path + "/approve", R"({"reason":"x"})").status, 403);
  const Answer approved = call_as(approver_, "POST", path + "/approve", R"({"reason":"Mirai"})");
  EXPECT_EQ(approved.body["state"], "executing") << approved.text();
  EXPECT_EQ(approved.body["approvedBy"], "anna");
  EXPECT_EQ(call_as(approver_, "POST", path + "/approve", R"({"reason":"again"})").body["code"], "failed_precondition");
  EXPECT_EQ(call("POST", path + "/refuse", R"({"reason":"late"})").body["code"], "failed_precondition");
  EXPECT_EQ(call("GET", "/v1/things/cam-1").body["holds"][0]["actionId"], waiting.id);
  EXPECT_EQ(count_rows("SELECT count(*) FROM audit_log WHERE operation='v1.actions.approve' AND actor='anna'"), 1);
  EXPECT_EQ(count_rows("SELECT count(*) FROM outbox WHERE topic='fleetward.access'"), 1);

  ASSERT_EQ(call("POST", "/things/cam-2").status, 200);
  const fleet::Action other = decide(violation(2, "cam-2"));
  EXPECT_EQ(
      call_as(operator_, "POST", "/v1/actions/" + other.id + "/refuse", R"({"reason":"maintenance"})").body["state"],
      "refused");
  EXPECT_THAT(call("GET", "/v1/things/cam-2").body["holds"], IsEmpty());
  const Answer page = call("GET", "/v1/actions?limit=1");
  EXPECT_EQ(page.body["actions"].size(), 1U);
  const Answer rest = call("GET", "/v1/actions?limit=1&nextToken=" + page.body["nextToken"].get<std::string>());
  EXPECT_NE(rest.body["actions"][0]["id"], page.body["actions"][0]["id"]);
  EXPECT_FALSE(rest.body.contains("nextToken"));
}

TEST_F(DecisionsTest, AnAlarmThatEndsIsSeenAtTheActionThatWaits) {
  ASSERT_EQ(call("POST", "/things/cam-1").status, 200);
  fleet::ViolationEvent event = violation(1, "cam-1");
  const std::string path = "/v1/actions/" + decide(event).id;
  event.type = fleet::ViolationEventType::alarm_cleared;
  event.reason = "back to normal";
  decide(event);
  const Value action = call("GET", path).body;
  EXPECT_EQ(action["state"], "awaiting_approval");
  EXPECT_EQ(action["cleared"], Value::array({event.violation_id}));
  EXPECT_EQ(action["steps"].back()["step"], "alarm_cleared");
  EXPECT_EQ(action["steps"].back()["why"], "the alarm has cleared: back to normal");
}

TEST_F(DecisionsTest, HostileTextStaysText) {
  fleet::ViolationEvent hostile = violation(1, "cam-1");
  hostile.seen = "\x1b[2J<script>\"\\";
  record(hostile);
  const Answer answer = call("GET", "/v1/violations");
  EXPECT_EQ(answer.body["violations"][0]["seen"], hostile.seen) << "JSON escapes it; nothing is interpreted";
  EXPECT_EQ(*http::find_header(answer.headers, "Content-Type"), "application/json");
}

}  // namespace
}  // namespace fleetward::api
