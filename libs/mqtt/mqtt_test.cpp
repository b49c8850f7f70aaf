#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mqtt/server_session.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

using ::testing::ElementsAre;

Bytes bytes(std::initializer_list<int> list) {
  Bytes out;
  for (const int b : list) out.push_back(static_cast<std::uint8_t>(b));
  return out;
}

class Recorder : public ServerSession::Handler {
 public:
  void on_connect(const Connect& packet) override {
    client_ids.emplace_back(packet.client_id);
    if (session != nullptr && accept_at_once) session->accept();
  }
  void on_publish(const Publish& packet) override {
    publishes.emplace_back(packet.topic);
    payloads.emplace_back(as_text(packet.payload));
    originals.emplace_back(packet.original.begin(), packet.original.end());
  }
  std::uint8_t on_subscribe(std::string_view filter, std::uint8_t qos) override {
    return filter.starts_with("deny") ? reason::not_authorized : qos;
  }
  void on_unsubscribe(std::string_view) override {}
  void on_end(const Failure& failure, bool by_client) override { ends.emplace_back(failure.reason_code, by_client); }

  ServerSession* session = nullptr;
  bool accept_at_once = true;
  std::vector<std::string> client_ids, publishes, payloads;
  std::vector<Bytes> originals;
  std::vector<std::pair<std::uint8_t, bool>> ends;
};

class SessionTest : public ::testing::TestWithParam<Version> {
 protected:
  void SetUp() override { recorder_.session = &session_; }
  void feed(std::string_view text) { session_.feed(as_bytes(text), now_); }
  void connect() {
    feed(encode_connect({GetParam(), "dev1", 10, true}));
    output_ = session_.take_output();
  }
  std::vector<Frame> frames() {
    output_ = session_.take_output();
    std::vector<Frame> out;
    ByteView rest = as_bytes(output_);
    Failure failure;
    while (const auto frame = next_frame(rest, 1 << 20, failure)) {
      out.push_back(*frame);
      rest = rest.subspan(frame->whole.size());
    }
    return out;
  }

  SteadyTime now_{0};
  Recorder recorder_;
  ServerSession session_{recorder_, {}, now_};
  std::string output_;
};

INSTANTIATE_TEST_SUITE_P(Versions, SessionTest, ::testing::Values(Version::v311, Version::v5),
                         [](const auto& p) { return p.param == Version::v5 ? "v5" : "v311"; });

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
    EXPECT_EQ(connack->properties.maximum_qos, 1);
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

TEST_P(SessionTest, Qos2EndsTheConnection) {
  connect();
  feed(encode_publish(GetParam(), "t", "x", 2, 1));
  EXPECT_TRUE(session_.ended());
  EXPECT_TRUE(recorder_.publishes.empty());
  const std::string out = session_.take_output();
  if (GetParam() == Version::v5) {
    EXPECT_EQ(out, encode_disconnect(Version::v5, reason::qos_not_supported));
  } else {
    EXPECT_TRUE(out.empty()) << "a server of 3.1.1 sends no DISCONNECT";
  }
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
  feed(encode_subscribe(GetParam(), 3, "a/+/b", 1));
  const auto subacks = frames();
  ASSERT_EQ(subacks.size(), 3U);
  EXPECT_EQ(subacks[0].body.back(), 1);
  EXPECT_EQ(subacks[1].body.back(), GetParam() == Version::v5 ? reason::not_authorized : 0x80);
  EXPECT_EQ(subacks[2].body.back(), GetParam() == Version::v5 ? reason::wildcard_subscriptions_not_supported : 0x80);
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
  // CONNECT with Maximum Packet Size 10.
  feed(
      std::string("\x10\x16\x00\x04MQTT\x05\x02\x00\x0a\x05\x27\x00\x00\x00\x0a\x00\x04"
                  "dev1",
                  24));
  ASSERT_TRUE(session_.connected());
  output_ = session_.take_output();
  session_.disconnect(reason::administrative_action, "more words than ten bytes");
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

TEST(Decode, RefusesMalformedPackets) {
  Failure failure;
  const auto refused = [&](Bytes packet, std::uint8_t expected, Version version = Version::v5) {
    failure = {};
    const auto frame = next_frame(packet, 1 << 16, failure);
    if (!frame) return failure.reason_code == expected;
    switch (frame->type) {
      case PacketType::connect:
        decode_connect(*frame, failure);
        break;
      case PacketType::publish:
        decode_publish(*frame, version, failure);
        break;
      case PacketType::subscribe:
        decode_subscribe(*frame, version, failure);
        break;
      case PacketType::puback:
        decode_acknowledgement(*frame, version, failure);
        break;
      default:
        break;
    }
    return failure.reason_code == expected;
  };
  EXPECT_TRUE(refused(bytes({0x00, 0x00}), reason::malformed_packet)) << "type 0";
  EXPECT_TRUE(refused(bytes({0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}), reason::malformed_packet)) << "five length bytes";
  EXPECT_TRUE(refused(bytes({0x30, 0xFF, 0xFF, 0x7F}), reason::packet_too_large));
  EXPECT_TRUE(refused(bytes({0x36, 0x05, 0, 1, 'a', 0, 1}), reason::malformed_packet)) << "QoS 3";
  EXPECT_TRUE(refused(bytes({0x30, 0x04, 0, 1, '#', 0}), reason::topic_name_invalid));
  EXPECT_TRUE(refused(bytes({0x32, 0x06, 0, 1, 'a', 0, 0, 0}), reason::protocol_error)) << "packet id 0";
  EXPECT_TRUE(refused(bytes({0x30, 0x04, 0, 1, 0, 0}), reason::malformed_packet)) << "NUL in a topic";
  EXPECT_TRUE(refused(bytes({0x30, 0x05, 0, 2, 0xC0, 0x80, 0}), reason::malformed_packet)) << "overlong UTF-8";
  EXPECT_TRUE(refused(bytes({0x30, 0x08, 0, 1, 'a', 4, 0x01, 1, 0x01, 1}), reason::protocol_error)) << "property twice";
  EXPECT_TRUE(refused(bytes({0x30, 0x07, 0, 1, 'a', 3, 0x21, 0, 5}), reason::malformed_packet))
      << "property in the wrong place";
  EXPECT_TRUE(refused(bytes({0x80, 0x06, 0, 1, 0, 1, 'a', 0}), reason::malformed_packet)) << "SUBSCRIBE flags";
  EXPECT_TRUE(refused(bytes({0x82, 0x03, 0, 1, 0}), reason::protocol_error)) << "no filters";
  EXPECT_TRUE(refused(bytes({0x10, 0x0C, 0, 4, 'M', 'Q', 'T', 'T', 4, 3, 0, 10, 0, 0}), reason::malformed_packet))
      << "reserved connect flag";
  EXPECT_TRUE(
      refused(bytes({0x10, 0x0C, 0, 4, 'M', 'Q', 'T', 'T', 3, 2, 0, 10, 0, 0}), reason::unsupported_protocol_version));
  EXPECT_TRUE(refused(bytes({0x10, 0x0D, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 10, 0, 0, 9}), reason::malformed_packet))
      << "bytes behind";
}

TEST(Topic, MatchesWholeLevels) {
  EXPECT_TRUE(matches("$aws/things/dev1/defender/metrics/json", "$aws/things/dev1/defender/metrics/json"));
  EXPECT_FALSE(matches("$aws/things/dev1/defender/metrics/json", "$aws/things/dev10/defender/metrics/json"));
  EXPECT_TRUE(matches("a/+/c", "a/b/c"));
  EXPECT_FALSE(matches("a/+", "a/b/c"));
  EXPECT_TRUE(matches("a/#", "a"));
  EXPECT_TRUE(matches("a/#", "a/b/c"));
  EXPECT_FALSE(matches("#", "$SYS/x"));
  EXPECT_FALSE(matches("+/x", "$SYS/x"));
  EXPECT_TRUE(matches("a//b", "a//b"));
  EXPECT_FALSE(matches("a/b", "a"));
  EXPECT_TRUE(is_topic_filter("a/+/#"));
  EXPECT_FALSE(is_topic_filter("a/#/b"));
  EXPECT_FALSE(is_topic_filter("a+"));
}

}  // namespace
}  // namespace fleetward::mqtt
