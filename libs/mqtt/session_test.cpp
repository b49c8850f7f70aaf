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

TEST_P(SessionTest, SilenceOfOurOwnMakingIsExcused) {
  connect();
  session_.excuse_silence(std::chrono::seconds(14));
  session_.on_time(std::chrono::seconds(28));
  EXPECT_FALSE(session_.ended());
  session_.on_time(std::chrono::seconds(29));
  EXPECT_TRUE(session_.ended());
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

TEST_P(SessionTest, WhoHasSaidNothingYetIsToldNothing) {
  session_.disconnect(reason::server_shutting_down);
  EXPECT_TRUE(session_.ended());
  feed(encode_connect({GetParam(), "dev1", 10, true}));
  EXPECT_EQ(session_.take_output(), "") << "an answer in another version than the client's";
  EXPECT_TRUE(recorder_.client_ids.empty());
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

// ---- what ends a connection, whatever the version

class RefusalTest : public SessionTest {
 protected:
  // The session ends when it gets this after its CONNECT; in 5 it says so with the code.
  void expect_refused(const std::string& packet, std::uint8_t code) {
    Recorder recorder;
    ServerSession session(recorder, limits(), now_);
    recorder.session = &session;
    session.feed(as_bytes(encode_connect({GetParam(), "dev1", 10, true})), now_);
    output_ = session.take_output();
    session.feed(as_bytes(packet), now_);
    EXPECT_TRUE(session.ended()) << to_hex(as_bytes(packet));
    EXPECT_EQ(cut_code(session.take_output()), GetParam() == Version::v5 ? code : 0xFF) << to_hex(as_bytes(packet));
    EXPECT_TRUE(recorder.publishes.empty());
  }
  // With an empty property list where 5 has one.
  std::string properties() const { return GetParam() == Version::v5 ? list("") : ""; }
};
INSTANTIATE_TEST_SUITE_P(Versions, RefusalTest, ::testing::Values(Version::v311, Version::v5), version_name);

TEST_P(RefusalTest, ReservedHeaderFlags) {
  const std::string filter = u16(1) + properties() + text("f");
  for (const int flags : {0, 1, 3, 10}) {
    expect_refused(wire(0x80 | flags, filter + std::string(1, '\0')), reason::malformed_packet);
    expect_refused(wire(0xA0 | flags, filter), reason::malformed_packet);
    expect_refused(wire(0x60 | flags, u16(1)), reason::malformed_packet);
  }
  for (const int first : {0x41, 0x52, 0x74}) expect_refused(wire(first, u16(1)), reason::malformed_packet);
  for (const int first : {0xC1, 0xE1, 0x00}) expect_refused(wire(first, ""), reason::malformed_packet);
}

TEST_P(RefusalTest, PublishesThatCannotBe) {
  expect_refused(wire(0x36, text("t") + u16(1) + properties()), reason::malformed_packet);
  expect_refused(wire(0x38, text("t") + properties()), reason::malformed_packet);
  expect_refused(wire(0x30, text("") + properties()), reason::protocol_error);
  expect_refused(wire(0x30, text("a/#") + properties()), reason::topic_name_invalid);
  expect_refused(wire(0x32, text("t") + u16(0) + properties()), reason::protocol_error);
  expect_refused(wire(0x34, text("t") + u16(0) + properties()), reason::protocol_error);
  expect_refused(wire(0x30, text(std::string("a\0b", 3)) + properties()), reason::malformed_packet);
}

TEST_P(RefusalTest, SubscriptionsThatCannotBe) {
  expect_refused(wire(0x82, u16(1) + properties()), reason::protocol_error);
  expect_refused(wire(0xA2, u16(1) + properties()), reason::protocol_error);
  expect_refused(wire(0x82, u16(0) + properties() + text("f") + std::string(1, '\0')), reason::protocol_error);
  expect_refused(wire(0xA2, u16(0) + properties() + text("f")), reason::protocol_error);
  expect_refused(wire(0x82, u16(1) + properties() + text("f")), reason::malformed_packet);
  expect_refused(wire(0x82, u16(1) + properties() + text("f") + "\x80"), reason::malformed_packet);
}

TEST_P(RefusalTest, AnAuth) {
  expect_refused(wire(0xF0, ""), GetParam() == Version::v5 ? reason::protocol_error : reason::malformed_packet);
}

TEST_P(SessionTest, WildcardAndSharedFiltersGetNoSubscriptionIn311) {
  if (GetParam() == Version::v5) return;  // there it was told, and they end the session
  connect();
  for (const std::string filter : {"a/+", "#", "$share/g/a", "a#"}) {
    feed(encode_subscribe(GetParam(), 4, filter, 1));
    const auto out = frames();
    EXPECT_EQ(as_text(out.at(0).body), std::string_view("\x00\x04\x80", 3)) << filter;
  }
  feed(encode_subscribe(GetParam(), 5, "r", 2));
  EXPECT_EQ(as_text(frames().at(0).body), std::string_view("\x00\x05\x01", 3));
}

TEST_P(SessionTest, EachOfManyFiltersGetsItsCode) {
  connect();
  const bool is_5 = GetParam() == Version::v5;
  feed(wire(0x82, u16(3) + (is_5 ? list("") : "") + text("a") + std::string(1, 1) + text("deny/b") + std::string(1, 0) +
                      text("c") + std::string(1, 0)));
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  const auto codes = out[0].body.last(3);
  EXPECT_THAT(Bytes(codes.begin(), codes.end()), ElementsAre(1, is_5 ? reason::not_authorized : 0x80, 0));
}

TEST_P(SessionTest, AnUnsubscribeIsAnsweredWhetherItFoundAnythingOrNot) {
  connect();
  const std::string properties = GetParam() == Version::v5 ? list("") : "";
  feed(encode_subscribe(GetParam(), 1, "a", 1));
  frames();
  feed(wire(0xA2, u16(6) + properties + text("a") + text("b")));
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].type, PacketType::unsuback);
  EXPECT_EQ(out[0].body[1], 6);
  EXPECT_FALSE(session_.publish("a", "x"));
}

TEST_P(SessionTest, ANameIsWantedOfWhoWantsItsSessionKeptIn311) {
  feed(encode_connect({GetParam(), "", 10, false}));
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), GetParam(), failure)->code, GetParam() == Version::v5 ? 0 : 2);
  EXPECT_EQ(session_.ended(), GetParam() == Version::v311);
}

TEST_P(SessionTest, AnUnknownLevelIsAnsweredAndAMalformedConnectIn311IsNot) {
  feed(wire(0x10, text("MQIsdp") + std::string{3, 2, 0, 10} + text("dev1")));
  EXPECT_EQ(session_.take_output(), std::string("\x20\x02\x00\x01", 4));
  EXPECT_TRUE(session_.ended());
  Recorder recorder;
  ServerSession session(recorder, limits(), now_);
  session.feed(as_bytes(wire(0x10, text("MQTT") + std::string{4, 3, 0, 10} + text("dev1"))), now_);
  EXPECT_TRUE(session.ended());
  EXPECT_FALSE(session.has_output());
}

TEST_P(SessionTest, WhatFollowsARefusedConnectIsNotHeard) {
  recorder_.accept_at_once = false;
  feed(encode_connect({GetParam(), "dev1", 10, true}) + encode_publish(GetParam(), "t", "x", 1, 1));
  session_.refuse(reason::not_authorized);
  feed(encode_publish(GetParam(), "t", "x", 1, 2));
  EXPECT_TRUE(recorder_.publishes.empty());
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
