#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

using ::testing::ElementsAre;

INSTANTIATE_TEST_SUITE_P(Versions, SessionTest, ::testing::Values(Version::v311, Version::v5), version_name);

TEST_P(SessionTest, ConnectsByteByByte) {
  for (const char c : encode_connect({GetParam(), "dev1", 10, true})) feed(std::string_view(&c, 1));
  EXPECT_THAT(recorder_.client_ids, ElementsAre("dev1"));
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  Failure failure;
  const auto connack = decode_connack(out[0], GetParam(), failure);
  ASSERT_TRUE(connack) << failure.text;
  EXPECT_EQ(connack->code, 0);
  EXPECT_FALSE(connack->session_present);
  if (GetParam() == Version::v5) {
    EXPECT_FALSE(connack->properties.maximum_qos.has_value()) << "left out: QoS 2 is taken";
    EXPECT_EQ(connack->properties.topic_alias_maximum, 8);
    EXPECT_EQ(connack->properties.maximum_packet_size, (128U << 10) + 1024U);
    EXPECT_EQ(connack->properties.wildcard_available, 0);
    EXPECT_EQ(connack->properties.subscription_id_available, 0);
    EXPECT_EQ(connack->properties.shared_available, 0);
    EXPECT_EQ(connack->properties.receive_maximum, 64);
    EXPECT_EQ(connack->properties.retain_available, 0);
  }
}

TEST_P(SessionTest, PubacksKeepTheOrderOfThePublishes) {
  connect();
  for (std::uint16_t id = 1; id <= 3; ++id) feed(encode_publish(GetParam(), "t", fmt::format("p{}", id), 1, id));
  EXPECT_THAT(recorder_.payloads, ElementsAre("p1", "p2", "p3"));
  session_.acknowledge(3);
  session_.acknowledge(2, reason::not_authorized);
  EXPECT_TRUE(session_.take_output().empty());
  session_.acknowledge(1);
  const auto out = frames();
  ASSERT_EQ(out.size(), 3U);
  Failure failure;
  for (std::uint16_t id = 1; id <= 3; ++id)
    EXPECT_EQ(decode_acknowledgement(out[id - 1U], GetParam(), failure)->packet_id, id);
  if (GetParam() == Version::v5) {
    EXPECT_EQ(decode_acknowledgement(out[1], GetParam(), failure)->reason_code, reason::not_authorized);
  }
}

TEST_P(SessionTest, KeepsTheOriginalBytes) {
  connect();
  const std::string packet = encode_publish(GetParam(), "a/b", "payload", 1, 7);
  feed(packet);
  EXPECT_EQ(as_text(recorder_.originals.at(0)), packet);
}

TEST_P(SessionTest, UnacknowledgedPublishesAreBounded) {
  connect();
  const std::uint16_t allowed = GetParam() == Version::v5 ? 64 : 1024;
  for (std::uint16_t id = 1; id <= allowed; ++id) feed(encode_publish(GetParam(), "t", "x", 1, id));
  EXPECT_FALSE(session_.ended());
  feed(encode_publish(GetParam(), "t", "x", 1, static_cast<std::uint16_t>(allowed + 1)));
  EXPECT_TRUE(session_.ended());
  EXPECT_THAT(recorder_.ends, ElementsAre(std::pair(reason::receive_maximum_exceeded, false)));
}

TEST_P(SessionTest, SubscribesAndDelivers) {
  connect();
  feed(encode_subscribe(GetParam(), 1, "mine/accepted", 1));
  feed(encode_subscribe(GetParam(), 2, "deny/x", 1));
  const auto subacks = frames();
  ASSERT_EQ(subacks.size(), 2U);
  EXPECT_EQ(subacks[0].body.back(), 1);
  EXPECT_EQ(subacks[1].body.back(), GetParam() == Version::v5 ? reason::not_authorized : 0x80);
  EXPECT_TRUE(session_.publish("mine/accepted", "hello"));
  EXPECT_FALSE(session_.publish("deny/x", "hello"));
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  Failure failure;
  const auto publish = decode_publish(out[0], GetParam(), failure);
  EXPECT_EQ(as_text(publish->payload), "hello");
  EXPECT_EQ(publish->qos, 1);
}

TEST_P(SessionTest, KeepAliveIsOneAndAHalfTimes) {
  connect();
  session_.on_time(std::chrono::seconds(14));
  EXPECT_FALSE(session_.ended());
  feed(encode_pingreq());
  EXPECT_EQ(frames().at(0).type, PacketType::pingresp);
  session_.on_time(std::chrono::seconds(15));
  EXPECT_TRUE(session_.ended());
  EXPECT_THAT(recorder_.ends, ElementsAre(std::pair(reason::keep_alive_timeout, false)));
}

TEST_P(SessionTest, RefusalHasTheCodeOfItsVersion) {
  recorder_.accept_at_once = false;
  feed(encode_connect({GetParam(), "dev1", 10, true}));
  session_.refuse(reason::banned);
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), GetParam(), failure)->code, GetParam() == Version::v5 ? reason::banned : 5);
  EXPECT_TRUE(session_.ended());
}

TEST_P(SessionTest, ALiveSessionIsCutWithItsReason) {
  connect();
  session_.disconnect(reason::administrative_action, "quarantined");
  EXPECT_TRUE(session_.ended());
  const std::string out = session_.take_output();
  EXPECT_EQ(out.empty(), GetParam() == Version::v311);
  if (GetParam() == Version::v5) EXPECT_EQ(static_cast<std::uint8_t>(out[2]), reason::administrative_action);
}

TEST_P(SessionTest, WordsTooLargeForTheClientAreLeftOut) {
  if (GetParam() == Version::v311) {
    connect();
    session_.disconnect(reason::administrative_action, "words");
    EXPECT_EQ(session_.take_output(), "");  // 3.1.1 has no DISCONNECT from a server
    return;
  }
  connect_5("\x27" + u32(40));
  session_.disconnect(reason::administrative_action, std::string(41, 'w'));
  EXPECT_EQ(session_.take_output(), encode_disconnect(Version::v5, reason::administrative_action));
}

TEST_P(SessionTest, SubscriptionIdentifiersAreRefused) {
  if (GetParam() == Version::v311) return;  // it has none
  connect();
  feed(
      std::string("\x82\x09\x00\x01\x02\x0b\x07\x00\x01"
                  "a\x00",
                  11));
  EXPECT_TRUE(session_.ended());
  ASSERT_EQ(recorder_.ends.size(), 1U);
  EXPECT_EQ(recorder_.ends[0].first, reason::subscription_identifiers_not_supported);
}

TEST_P(SessionTest, WhatCameBehindTheConnectWaitsForTheDecision) {
  recorder_.accept_at_once = false;
  feed(encode_connect({GetParam(), "dev1", 10, true}) + encode_publish(GetParam(), "t", "x", 1, 1));
  EXPECT_TRUE(recorder_.publishes.empty());
  session_.accept();
  EXPECT_THAT(recorder_.publishes, ElementsAre("t"));
}

TEST_P(SessionTest, AFirstPacketOtherThanConnectEnds) {
  feed(encode_pingreq());
  EXPECT_TRUE(session_.ended());
}

TEST_P(SessionTest, ASecondConnectEnds) {
  connect();
  feed(encode_connect({GetParam(), "dev1", 10, true}));
  EXPECT_TRUE(session_.ended());
}

TEST_P(SessionTest, NoPrefixOrMutationOfGoodPacketsBreaksIt) {
  const std::string good = encode_connect({GetParam(), "dev1", 10, true}) + encode_subscribe(GetParam(), 1, "a/b", 1) +
                           encode_publish(GetParam(), "a/b", "payload", 1, 7) + encode_disconnect(GetParam(), 0);
  std::uint32_t random = 12345;
  for (int round = 0; round < 20'000; ++round) {
    std::string mutated = good;
    for (int flips = 0; flips < 3; ++flips) {
      random = random * 1664525 + 1013904223;
      mutated[(random >> 8) % mutated.size()] = static_cast<char>(random >> 16);
    }
    Recorder recorder;
    ServerSession session(recorder, {}, SteadyTime(0));
    recorder.session = &session;
    session.feed(as_bytes(mutated), SteadyTime(0));
    EXPECT_LE(recorder.publishes.size(), 2U);
  }
}

}  // namespace
}  // namespace fleetward::mqtt
