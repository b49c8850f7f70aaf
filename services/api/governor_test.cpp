// The governor over HTTPS: what holds automatic action back, and what lets it go on.
#include <gmock/gmock.h>

#include "repository/governor_repository.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using json::Value;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class GovernorApiTest : public ApiTest {
 protected:
  void run(const char* sql) {
    const auto done = in_store<std::int64_t>([&](store::Transaction& tx) { return tx.execute(sql); });
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  Value governor() { return call("GET", "/v1/governor").body; }
};

TEST_F(GovernorApiTest, TheStopSwitchTakesTheRightToApproveAndSaysWho) {
  EXPECT_EQ(call("GET", "/v1/stop-switch").body, (Value{{"on", false}, {"stopped", false}}));
  for (const std::string& who : {viewer_, operator_})
    EXPECT_EQ(call_as(who, "PUT", "/v1/stop-switch", R"({"on":true,"reason":"x"})").status, 403);
  EXPECT_EQ(call("PUT", "/v1/stop-switch", R"({"on":true})").status, 400);
  EXPECT_EQ(call_as(approver_, "PUT", "/v1/stop-switch", R"({"on":true,"reason":"fleet update"})").body["on"], true);
  const Value on = call("GET", "/v1/stop-switch").body;
  EXPECT_EQ(on["actor"], "anna");
  EXPECT_EQ(on["reason"], "fleet update");
  EXPECT_EQ(governor()["stopped"], true);
  EXPECT_EQ(call("PUT", "/v1/stop-switch", R"({"on":false,"reason":"done"})").body["on"], false);
  const Value after = governor();
  EXPECT_EQ(after["stopped"], false);
  ASSERT_THAT(after["log"], SizeIs(2));
  EXPECT_EQ(after["log"][0]["step"], "ended");
  EXPECT_EQ(after["log"][0]["why"], "done");
  EXPECT_EQ(after["log"][1]["actor"], "anna");
}

TEST_F(GovernorApiTest, AStopFileIsShownAndIsNoSwitch) {
  const auto seen = in_store<bool>([](store::Transaction& tx) -> Result<bool> {
    const Status s = repository::note_stop_file(tx, "r1", "/data/STOP", "storm", instant_from_ms(5));
    return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
  });
  ASSERT_TRUE(seen.ok());
  const Value answer = call("PUT", "/v1/stop-switch", R"({"on":false,"reason":"go on"})").body;
  EXPECT_EQ(answer, (Value{{"on", false}, {"stopped", true}, {"file", "r1:/data/STOP"}}));
}

TEST_F(GovernorApiTest, ABrakeIsLetGoByOneWhoMay) {
  run("INSERT INTO governor_conditions VALUES('brake', 'cams/ports', 'responder', '10 things', 5)");
  const char* body = R"({"behavior":"cams/ports","reason":"an update"})";
  EXPECT_EQ(call_as(operator_, "POST", "/v1/governor/release-brake", body).status, 403);
  EXPECT_EQ(call("POST", "/v1/governor/release-brake", R"({"behavior":"cams/ports"})").status, 400);
  ASSERT_THAT(governor()["conditions"], SizeIs(1));
  const Value answer = call_as(approver_, "POST", "/v1/governor/release-brake", body).body;
  EXPECT_THAT(answer["conditions"], IsEmpty());
  EXPECT_EQ(answer["log"][0]["actor"], "anna");
  EXPECT_EQ(answer["log"][0]["condition"]["subject"], "cams/ports");
  EXPECT_EQ(call_as(approver_, "POST", "/v1/governor/release-brake", body).status, 404);
  EXPECT_EQ(count_rows("SELECT count(*) FROM audit_log WHERE operation='v1.governor.release-brake' AND actor='anna'"),
            1);
}

TEST_F(GovernorApiTest, AFailedCanaryIsReset) {
  run("INSERT INTO governor_canaries VALUES('e/p/b', 'a1', 'failed', 5)");
  run("INSERT INTO governor_canaries VALUES('e/p/c', 'a2', 'proven', 5)");
  EXPECT_EQ(governor()["canaries"][0]["rule"], "e/p/b");
  const auto reset = [&](const std::string& rule) {
    return call_as(approver_, "POST", "/v1/governor/reset-canary", R"({"rule":")" + rule + R"(","reason":"fixed"})");
  };
  EXPECT_EQ(reset("e/p/c").body["code"], "failed_precondition");
  EXPECT_EQ(reset("e/p/d").status, 404);
  EXPECT_THAT(reset("e/p/b").body["canaries"], SizeIs(1));
  EXPECT_EQ(governor()["log"][0]["step"], "reset");
}

}  // namespace
}  // namespace fleetward::api
