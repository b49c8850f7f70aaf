// The Will as a value and the decision what becomes of it; rates.
#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::Pair;

constexpr seconds none{0};

TEST(WillDecision, ACleanDisconnectDiscardsIt) {
  EXPECT_EQ(will_decision({Ending::By::client, reason::success, false}, none, none), std::nullopt);
  EXPECT_EQ(will_decision({Ending::By::client, reason::success, false}, seconds(9), seconds(90)), std::nullopt);
}

TEST(WillDecision, ADisconnectWithAnotherCodePublishesIt) {
  EXPECT_EQ(will_decision({Ending::By::client, reason::disconnect_with_will, false}, none, none), none);
  EXPECT_EQ(will_decision({Ending::By::client, reason::unspecified_error, false}, none, none), none);
}

TEST(WillDecision, ALostConnectionAndAProtocolErrorPublishIt) {
  EXPECT_EQ(will_decision({Ending::By::network, reason::success, false}, none, none), none);
  EXPECT_EQ(will_decision({Ending::By::protocol, reason::success, false}, none, none), none);
}

TEST(WillDecision, ItsDelayEndsWithTheSession) {
  const Ending lost{Ending::By::network, reason::success, false};
  EXPECT_EQ(will_decision(lost, seconds(30), seconds(3600)), seconds(30));
  EXPECT_EQ(will_decision(lost, seconds(30), seconds(10)), seconds(10));
  EXPECT_EQ(will_decision(lost, seconds(30), none), none);
}

TEST(WillDecision, ATakeOverPublishesItUnlessTheSessionGoesOnWithinTheDelay) {
  const Ending resumed{Ending::By::taken_over, reason::success, false};
  const Ending anew{Ending::By::taken_over, reason::success, true};
  EXPECT_EQ(will_decision(resumed, none, seconds(3600)), none);
  EXPECT_EQ(will_decision(resumed, seconds(30), seconds(3600)), std::nullopt);
  EXPECT_EQ(will_decision(anew, seconds(30), seconds(3600)), none);
}

TEST(WillDecision, WhoIsCutOffByOrderSaysNothingMore) {
  EXPECT_EQ(will_decision({Ending::By::operator_order, reason::success, false}, none, none), std::nullopt);
  EXPECT_EQ(will_decision({Ending::By::server_stopping, reason::success, false}, none, none), std::nullopt);
}

class WillTest : public SessionTest {
 protected:
  void connect_with_will(std::string_view properties = {}) {
    const bool is_5 = GetParam() == Version::v5;
    feed(wire(0x10, text("MQTT") + std::string{static_cast<char>(GetParam()), is_5 ? '\x16' : '\x0E', 0, 10} +
                        (is_5 ? list("") : "") + text("dev1") + (is_5 ? list(properties) : "") + text("will/topic") +
                        text("gone")));
    output_ = session_.take_output();
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, WillTest, ::testing::Values(Version::v311, Version::v5), version_name);

TEST_P(WillTest, IsKeptAsAValue) {
  std::string properties = "\x18" + u32(30) + "\x02" + u32(60) + "\x03" + text("text/plain") + "\x08" + text("r") +
                           "\x09" + text("c") + "\x26" + text("k") + text("v");
  properties += std::string("\x01\x01", 2);
  connect_with_will(properties);
  ASSERT_NE(session_.will(), nullptr);
  const StoredWill& will = *session_.will();
  EXPECT_EQ(will.topic, "will/topic");
  EXPECT_EQ(as_text(will.payload), "gone");
  EXPECT_FALSE(will.retain);
  if (GetParam() == Version::v311) {
    EXPECT_EQ(will.qos, 1);
    EXPECT_EQ(will.delay, none);
    return;
  }
  EXPECT_EQ(will.qos, 2);
  EXPECT_EQ(will.delay, seconds(30));
  EXPECT_EQ(will.message_expiry_interval, 60U);
  EXPECT_EQ(will.content_type, "text/plain");
  EXPECT_EQ(will.response_topic, "r");
  EXPECT_EQ(as_text(*will.correlation_data), "c");
  EXPECT_EQ(will.payload_format_indicator, 1);
  EXPECT_THAT(will.user, ElementsAre(Pair("k", "v")));
}

TEST_P(WillTest, ThereIsNoneWithoutOneOrWithoutAdmission) {
  connect();
  EXPECT_EQ(session_.will(), nullptr);
  Recorder recorder;
  recorder.accept_at_once = false;
  ServerSession refused(recorder, limits(), now_);
  refused.feed(as_bytes(connect_packet("", "dev1", 0x06, list("") + text("w") + text("x"))), now_);
  refused.refuse(reason::banned);
  EXPECT_EQ(refused.will(), nullptr);
}

TEST_P(WillTest, TheEndingSaysWhoEndedIt) {
  connect_with_will();
  EXPECT_EQ(session_.ending().by, Ending::By::network) << "as long as nobody did";
  feed(encode_disconnect(GetParam(), GetParam() == Version::v5 ? reason::disconnect_with_will : reason::success));
  EXPECT_EQ(session_.ending().by, Ending::By::client);
  EXPECT_EQ(session_.ending().reason_code, GetParam() == Version::v5 ? 4 : 0);
}

TEST_P(WillTest, TheEndingKnowsOrdersErrorsAndSilence) {
  const auto ended_by = [&](const std::function<void(ServerSession&)>& end) {
    Recorder recorder;
    ServerSession session(recorder, limits(), now_);
    recorder.session = &session;
    session.feed(as_bytes(encode_connect({GetParam(), "dev1", 10, true})), now_);
    end(session);
    EXPECT_TRUE(session.ended());
    return session.ending().by;
  };
  EXPECT_EQ(ended_by([](ServerSession& s) { s.disconnect(reason::administrative_action); }),
            Ending::By::operator_order);
  EXPECT_EQ(ended_by([](ServerSession& s) { s.disconnect(reason::session_taken_over); }), Ending::By::taken_over);
  EXPECT_EQ(ended_by([](ServerSession& s) { s.disconnect(reason::server_shutting_down); }),
            Ending::By::server_stopping);
  EXPECT_EQ(ended_by([](ServerSession& s) { s.on_time(seconds(100)); }), Ending::By::network);
  EXPECT_EQ(ended_by([](ServerSession& s) { s.feed(as_bytes(wire(0x36, "")), SteadyTime(0)); }), Ending::By::protocol);
}

TEST_P(WillTest, ARetainFlagIn311MeansNothing) {
  if (GetParam() == Version::v5) return;  // refused there: 3.1.1 cannot be told of it
  feed(wire(0x10, text("MQTT") + std::string{4, 0x26, 0, 10} + text("dev1") + text("w") + text("x")));
  EXPECT_TRUE(session_.connected());
}

// ---- rates

TEST(TokenBucket, LetsABurstThroughAndThenTheRate) {
  const Rate rate{10, 5};
  TokenBucket bucket;
  SteadyTime now = seconds(1000);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bucket.take(rate, 1, now));
  EXPECT_FALSE(bucket.take(rate, 1, now));
  EXPECT_EQ(bucket.ready_at(rate, 1, now), now + std::chrono::milliseconds(100));
  now += std::chrono::milliseconds(100);
  EXPECT_TRUE(bucket.take(rate, 1, now));
  EXPECT_FALSE(bucket.take(rate, 1, now));
  now += seconds(60);
  EXPECT_TRUE(bucket.is_full(now));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bucket.take(rate, 1, now)) << "no more than the burst is saved up";
  EXPECT_FALSE(bucket.take(rate, 1, now));
}

TEST(TokenBucket, WhatCostsMoreThanTheBurstWaitsForAFullBucket) {
  const Rate rate{10, 5};
  TokenBucket bucket;
  EXPECT_TRUE(bucket.take(rate, 20, seconds(1)));
  EXPECT_FALSE(bucket.take(rate, 1, seconds(1) + std::chrono::milliseconds(1500)));
  EXPECT_TRUE(bucket.take(rate, 1, seconds(3)));
}

TEST(TokenBucket, WhatIsChargedIsMadeUpFor) {
  const Rate rate{10, 5};
  TokenBucket bucket;
  bucket.charge(rate, 5, seconds(1));
  EXPECT_FALSE(bucket.is_overdrawn(rate, seconds(1)));
  bucket.charge(rate, 20, seconds(1));
  EXPECT_TRUE(bucket.is_overdrawn(rate, seconds(2)));
  EXPECT_FALSE(bucket.is_overdrawn(rate, seconds(3)));
}

TEST(TokenBucket, WithoutARateThereIsNoLimit) {
  TokenBucket bucket;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(bucket.take({}, 1'000'000'000, seconds(1)));
}

class RateTest : public SessionTest {
 protected:
  void start(const Rate& messages, const Rate& bytes) {
    SessionLimits l = limits();
    l.messages = messages;
    l.bytes = bytes;
    limited_.emplace(recorder_, l, now_);
    recorder_.session = &*limited_;
    limited_->feed(as_bytes(encode_connect({GetParam(), "dev1", 10, true})), now_);
    output_ = limited_->take_output();
  }
  std::optional<ServerSession> limited_;
};
INSTANTIATE_TEST_SUITE_P(Versions, RateTest, ::testing::Values(Version::v311, Version::v5), version_name);

// Only 3.1.1 has it: 5 is told, and ended.
class PauseTest : public RateTest {};
INSTANTIATE_TEST_SUITE_P(Versions, PauseTest, ::testing::Values(Version::v311), version_name);

TEST_P(RateTest, TooManyMessagesASecondEndOrWait) {
  start({10, 3}, {});
  const std::string packet = encode_publish(GetParam(), "t", "x", 0, 0);
  limited_->feed(as_bytes(packet + packet + packet), now_);
  EXPECT_FALSE(limited_->ended());
  limited_->feed(as_bytes(packet), now_ + std::chrono::milliseconds(100));
  EXPECT_FALSE(limited_->ended());
  EXPECT_FALSE(limited_->paused_until().has_value());
  limited_->feed(as_bytes(packet + packet), now_ + std::chrono::milliseconds(100));
  EXPECT_EQ(recorder_.publishes.size(), 4U);
  EXPECT_EQ(limited_->ended(), GetParam() == Version::v5);
  if (GetParam() == Version::v5) {
    EXPECT_EQ(cut_code(limited_->take_output()), reason::message_rate_too_high);
    return;
  }
  // 3.1.1: what came is not lost, it waits for its turn; nothing happens before that.
  ASSERT_EQ(limited_->paused_until(), now_ + std::chrono::milliseconds(200));
  limited_->feed({}, now_ + std::chrono::milliseconds(150));
  EXPECT_EQ(recorder_.publishes.size(), 4U);
  limited_->feed({}, now_ + std::chrono::milliseconds(200));
  EXPECT_EQ(recorder_.publishes.size(), 5U);
  ASSERT_EQ(limited_->paused_until(), now_ + std::chrono::milliseconds(300));
  limited_->feed({}, now_ + std::chrono::milliseconds(300));
  EXPECT_EQ(recorder_.publishes.size(), 6U);
  EXPECT_FALSE(limited_->paused_until().has_value());
}

TEST_P(RateTest, PingsAndSubscriptionsCountToo) {
  start({10, 3}, {});
  limited_->feed(as_bytes(encode_pingreq() + encode_pingreq() + encode_subscribe(GetParam(), 1, "r", 0)), now_);
  EXPECT_FALSE(limited_->ended());
  limited_->feed(as_bytes(encode_pingreq()), now_);
  EXPECT_EQ(limited_->ended(), GetParam() == Version::v5);
  EXPECT_EQ(limited_->paused_until().has_value(), GetParam() == Version::v311);
}

// The keep-alive of a client that is not read does not run out, and what it goes on sending has an end.
TEST_P(PauseTest, IsOursAndHasItsLimit) {
  SessionLimits l = limits();
  l.messages = {1, 1};
  l.packet_bytes_max = 4'000;
  limited_.emplace(recorder_, l, now_);
  recorder_.session = &*limited_;
  limited_->feed(as_bytes(encode_connect({GetParam(), "dev1", 10, true})), now_);
  const std::string packet = encode_publish(GetParam(), "t", std::string(500, 'x'), 0, 0);
  std::string hundred;
  for (int i = 0; i < 100; ++i) hundred += encode_pingreq();
  limited_->feed(as_bytes(hundred), now_);
  SteadyTime now = now_;
  for (int i = 0; i < 100; ++i) {
    now = limited_->paused_until().value_or(now);
    EXPECT_GE(*limited_->deadline(), now);
    limited_->on_time(now);
    ASSERT_FALSE(limited_->ended()) << i;
    limited_->feed({}, now);
  }
  EXPECT_FALSE(limited_->paused_until().has_value());
  for (int i = 0; i < 20 && !limited_->ended(); ++i) limited_->feed(as_bytes(packet), now);
  EXPECT_TRUE(limited_->ended());
  EXPECT_THAT(recorder_.ends, ElementsAre(Pair(reason::quota_exceeded, false)));
}

TEST_P(RateTest, AcknowledgementsDoNot) {
  start({10, 1}, {});
  for (int i = 0; i < 100; ++i)
    limited_->feed(as_bytes(encode_acknowledgement(PacketType::puback, GetParam(), 1)), now_);
  EXPECT_FALSE(limited_->ended());
}

TEST_P(RateTest, TooManyBytesASecondEnd) {
  start({}, {1000, 2000});
  const std::string packet = encode_publish(GetParam(), "t", std::string(900, 'x'), 0, 0);
  limited_->feed(as_bytes(packet + packet), now_);
  EXPECT_FALSE(limited_->ended());
  limited_->feed(as_bytes(packet), now_);
  EXPECT_EQ(limited_->ended(), GetParam() == Version::v5);
  if (GetParam() == Version::v5) {
    EXPECT_EQ(cut_code(limited_->take_output()), reason::quota_exceeded);
    EXPECT_THAT(recorder_.ends, ElementsAre(Pair(reason::quota_exceeded, false)));
    return;
  }
  EXPECT_EQ(recorder_.publishes.size(), 3U) << "it is here already: what comes next has to wait";
  ASSERT_TRUE(limited_->paused_until().has_value());
  limited_->feed({}, *limited_->paused_until());
  EXPECT_FALSE(limited_->paused_until().has_value());
}

}  // namespace
}  // namespace fleetward::mqtt
