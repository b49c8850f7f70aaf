// /v1/dead-letters: what could not be used, and who may have it replayed.
#include <gmock/gmock.h>

#include "core/text.hpp"
#include "repository/dead_letter_repository.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

using ::testing::HasSubstr;

class DeadLettersTest : public ApiTest {
 protected:
  void record(const std::string& id, const std::string& source = "kafka/plant", bool cut = false) {
    fleet::DeadLetter l;
    l.id = id;
    l.source = source;
    l.reason = "bad-payload";
    l.why = "no JSON";
    l.topic = "a\x01";
    l.payload = "{";
    l.payload_bytes = 1;
    l.cut = cut;
    l.partition = 1;
    l.offset = 5;
    l.received = instant_from_ms(1'800'000'000'000 + ++count_);
    ASSERT_TRUE(in_store<bool>([&](store::Transaction& tx) { return repository::record_dead_letter(tx, l); }).ok());
  }
  Answer replay(const std::string& id, const std::string& token) {
    return call_as(token, "POST", "/v1/dead-letters/" + id + "/replay", R"({"reason":"mapping mended"})");
  }
  int count_ = 0;
};

TEST_F(DeadLettersTest, AreListedNewestFirstPageByPage) {
  for (const char* id : {"1", "2", "3"}) record(id);
  record("4", "mqtt/hall");
  const Answer first = call("GET", "/v1/dead-letters?limit=3");
  ASSERT_EQ(first.status, 200) << first.text();
  ASSERT_EQ(first.body["deadLetters"].size(), 3U);
  EXPECT_EQ(first.body["deadLetters"][0]["id"], "4");
  EXPECT_EQ(first.body["deadLetters"][0]["topic"], "a\\x01") << "what others wrote is made printable";
  EXPECT_FALSE(first.body["deadLetters"][0].contains("payloadBase64"));
  const Answer second =
      call("GET", "/v1/dead-letters?limit=3&nextToken=" + percent_encode(first.body["nextToken"].get<std::string>()));
  ASSERT_EQ(second.body["deadLetters"].size(), 1U);
  EXPECT_EQ(second.body["deadLetters"][0]["id"], "1");
  EXPECT_FALSE(second.body.contains("nextToken"));
  EXPECT_EQ(call("GET", "/v1/dead-letters?source=mqtt%2Fhall").body["deadLetters"].size(), 1U);
  EXPECT_EQ(call("GET", "/v1/dead-letters?reason=no-thing").body["deadLetters"].size(), 0U);
}

TEST_F(DeadLettersTest, OneIsShownWithWhatCame) {
  record("1");
  const Answer answer = call_as(viewer_, "GET", "/v1/dead-letters/1");
  EXPECT_EQ(answer.body["payloadBase64"], to_base64(as_bytes(std::string_view("{"))));
  EXPECT_EQ(answer.body["offset"], 5);
  EXPECT_EQ(answer.body["replay"], "none");
  EXPECT_EQ(call("GET", "/v1/dead-letters/2").status, 404);
}

TEST_F(DeadLettersTest, AReplayIsAskedForByWhoMayOperateAndRecorded) {
  record("1");
  EXPECT_EQ(replay("1", viewer_).status, 403);
  EXPECT_EQ(call_as(operator_, "POST", "/v1/dead-letters/1/replay", "{}").status, 400) << "a reason is needed";
  const Answer answer = replay("1", operator_);
  EXPECT_EQ(answer.status, 200) << answer.text();
  EXPECT_EQ(answer.body["replay"], "waiting");
  EXPECT_EQ(replay("1", operator_).body["replay"], "waiting") << "again changes nothing";
  EXPECT_EQ(count_rows("SELECT COUNT(*) FROM audit_log WHERE operation='v1.dead-letters.replay'"), 2);
  EXPECT_EQ(call("GET", "/v1/dead-letters?replay=waiting").body["deadLetters"].size(), 1U);
}

TEST_F(DeadLettersTest, WhatCannotBeReplayedSaysWhy) {
  record("1", "topic/fleetward.violations");
  record("2", "mqtt/hall", true);
  EXPECT_EQ(replay("1", operator_).status, 409);
  EXPECT_THAT(replay("1", operator_).text(), HasSubstr("only messages of a collector's sources"));
  EXPECT_THAT(replay("2", operator_).text(), HasSubstr("too long to be kept whole"));
}

}  // namespace
}  // namespace fleetward::api
