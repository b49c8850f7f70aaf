#include "mqtt/client_session.hpp"

#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Hearer : public ClientSession::Handler {
 public:
  void on_ready(bool session_present) override { ready.push_back(session_present); }
  void on_publish(const Publish& packet) override {
    topics.emplace_back(packet.topic);
    ids.push_back(packet.packet_id);
    dups.push_back(packet.dup);
  }
  void on_end(const Failure& failure, bool by_server) override {
    code = failure.reason_code;
    words = failure.text;
    ends.push_back(by_server);
  }
  std::vector<bool> ready, dups, ends;
  std::vector<std::string> topics;
  std::vector<std::uint16_t> ids;
  std::uint8_t code = 0;
  std::string words;
};

ClientOptions options() {
  ClientOptions o;
  o.client_id = "collector-1";
  o.username = "reader";
  o.password = "secret";
  o.filters = {"$share/g/a/+", "$share/g/b/#"};
  o.receive_maximum = 3;
  o.packet_bytes_max = 512;
  return o;
}

class ClientSessionTest : public ::testing::Test {
 protected:
  void feed(std::string_view bytes) { session_.feed(as_bytes(bytes), now_); }
  // CONNACK and both SUBACKs; what was said meanwhile is taken.
  void become_ready(bool session_present = false) {
    feed(wire(0x20, std::string{static_cast<char>(session_present ? 1 : 0), 0, 0}));
    feed(wire(0x90, u16(1) + std::string{0, 1}));
    feed(wire(0x90, u16(2) + std::string{0, 1}));
    said_ = session_.take_output();
  }
  std::vector<Frame> frames() {
    said_ = session_.take_output();
    std::vector<Frame> out;
    ByteView rest = as_bytes(said_);
    Failure failure;
    while (const auto frame = next_frame(rest, 1 << 20, failure)) {
      out.push_back(*frame);
      rest = rest.subspan(frame->whole.size());
    }
    return out;
  }
  std::vector<std::uint16_t> acknowledged() {
    std::vector<std::uint16_t> out;
    for (const Frame& frame : frames()) {
      Failure failure;
      const auto packet = decode_acknowledgement(frame, Version::v5, failure);
      EXPECT_TRUE(packet && frame.type == PacketType::puback) << failure.text;
      if (packet) out.push_back(packet->packet_id);
    }
    return out;
  }
  // The code of the DISCONNECT that is the last it said.
  std::uint8_t cut() {
    EXPECT_TRUE(session_.ended());
    const auto out = frames();
    if (out.empty() || out.back().type != PacketType::disconnect) return 0xFF;
    return out.back().body.empty() ? reason::success : out.back().body[0];
  }

  SteadyTime now_{seconds(100)};
  Hearer hearer_;
  ClientSession session_{hearer_, options(), now_};
  std::string said_;
};

TEST_F(ClientSessionTest, ConnectsToASessionThatIsKept) {
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  Failure failure;
  const auto packet = decode_connect(out[0], failure);
  ASSERT_TRUE(packet) << failure.text;
  EXPECT_EQ(packet->version, Version::v5);
  EXPECT_EQ(packet->client_id, "collector-1");
  EXPECT_FALSE(packet->clean_start);
  EXPECT_EQ(packet->username, "reader");
  EXPECT_EQ(as_text(packet->password.value_or(ByteView())), "secret");
  EXPECT_EQ(packet->properties.session_expiry_interval, 3'600U);
  EXPECT_EQ(packet->properties.receive_maximum, 3);
  EXPECT_EQ(packet->properties.maximum_packet_size, 512U);
}

TEST_F(ClientSessionTest, SubscribesToEachFilterAndIsReadyWhenAllAreGranted) {
  said_ = session_.take_output();
  feed(wire(0x20, std::string{1, 0, 0}));
  const auto out = frames();
  ASSERT_EQ(out.size(), 2U);
  Failure failure;
  const auto second = decode_subscribe(out[1], Version::v5, failure);
  ASSERT_TRUE(second) << failure.text;
  EXPECT_EQ(second->requests[0].filter, "$share/g/b/#");
  EXPECT_EQ(second->requests[0].qos, 1);
  feed(wire(0x90, u16(1) + std::string{0, 1}));
  EXPECT_FALSE(session_.ready());
  feed(wire(0x90, u16(2) + std::string{0, 1}));
  EXPECT_TRUE(session_.ready());
  EXPECT_THAT(hearer_.ready, ElementsAre(true));
}

TEST_F(ClientSessionTest, AcknowledgesWhenToldToAndInTheOrderOfThePublishes) {
  become_ready();
  feed(publish_5("a/1", "", 1, 7) + publish_5("a/2", "", 1, 8));
  EXPECT_THAT(hearer_.topics, ElementsAre("a/1", "a/2"));
  EXPECT_THAT(frames(), IsEmpty()) << "nobody said that they are kept";
  session_.acknowledge(8);
  EXPECT_THAT(frames(), IsEmpty());
  session_.acknowledge(7);
  EXPECT_THAT(acknowledged(), ElementsAre(7, 8));
  EXPECT_EQ(session_.unacknowledged(), 0U);
}

TEST_F(ClientSessionTest, ARepeatIsMarkedAndMayComeBeforeTheSubscriptions) {
  feed(wire(0x20, std::string{1, 0, 0}));
  feed(publish_5("a/1", "", 1, 7, "x", 8));
  EXPECT_THAT(hearer_.dups, ElementsAre(true));
  said_ = session_.take_output();
  session_.acknowledge(7);
  EXPECT_THAT(acknowledged(), ElementsAre(7));
}

TEST_F(ClientSessionTest, AServerThatSendsMoreThanTheReceiveMaximumIsBorne) {
  become_ready();
  for (int id = 1; id <= 7; ++id) feed(publish_5("a/1", "", 1, id));
  EXPECT_FALSE(session_.ended()) << "some do when a session is taken up again";
  EXPECT_EQ(session_.unacknowledged(), 7U) << "the owner sees it, and reads no further";
  feed(publish_5("a/1", "", 1, 3));
  EXPECT_EQ(cut(), reason::protocol_error) << "an identifier that is in use, and no repeat";
}

struct Bad {
  std::string name;
  std::string bytes;
  std::uint8_t code;
};
class ClientSessionRefuses : public ClientSessionTest, public ::testing::WithParamInterface<Bad> {};

TEST_P(ClientSessionRefuses, WhatAServerMayNotSend) {
  become_ready();
  feed(GetParam().bytes);
  EXPECT_EQ(cut(), GetParam().code);
  EXPECT_THAT(hearer_.ends, ElementsAre(false));
  feed(publish_5("a/1", ""));
  EXPECT_THAT(hearer_.topics, IsEmpty()) << "nothing is heard after the end";
}

INSTANTIATE_TEST_SUITE_P(
    Packets, ClientSessionRefuses,
    ::testing::Values(Bad{"Qos2", publish_5("a/1", "", 2, 7), reason::unspecified_error},
                      Bad{"Alias", publish_5("a/1", std::string{0x23, 0, 1}), reason::topic_alias_invalid},
                      Bad{"Long", wire(0x30, std::string(600, 'x')), reason::packet_too_large},
                      Bad{"SecondConnack", wire(0x20, std::string{0, 0, 0}), reason::protocol_error},
                      Bad{"Puback", wire(0x40, u16(1)), reason::protocol_error},
                      Bad{"Connect", connect_packet(""), reason::protocol_error},
                      Bad{"Suback", wire(0x90, u16(1) + std::string{0, 1}), reason::protocol_error},
                      Bad{"Wildcard", publish_5("a/+", ""), reason::topic_name_invalid}),
    [](const auto& p) { return p.param.name; });

TEST_F(ClientSessionTest, ARefusedConnectSaysWhy) {
  said_ = session_.take_output();
  const std::string why = std::string(1, 0x1F) + text("not on\nthe list");
  feed(wire(0x20, std::string{0, static_cast<char>(reason::not_authorized)} + list(why)));
  EXPECT_THAT(hearer_.ends, ElementsAre(true));
  EXPECT_EQ(hearer_.code, reason::not_authorized);
  EXPECT_THAT(hearer_.words, HasSubstr("not on\\x0athe list"));
  EXPECT_FALSE(session_.has_output()) << "the server has closed already";
}

TEST_F(ClientSessionTest, AServerWithoutSharedSubscriptionsIsOfNoUse) {
  feed(wire(0x20, std::string{0, 0} + list(std::string{0x2A, 0})));
  EXPECT_THAT(hearer_.words, HasSubstr("shared subscriptions"));
  EXPECT_TRUE(session_.ended());
}

TEST_F(ClientSessionTest, AFilterThatIsRefusedOrGrantedWithQos0EndsIt) {
  feed(wire(0x20, std::string{0, 0, 0}));
  feed(wire(0x90, u16(1) + std::string{0, static_cast<char>(0x87)}));
  EXPECT_THAT(hearer_.words, HasSubstr("$share/g/a/+ was refused with 0x87"));
  Hearer other;
  ClientSession second(other, options(), now_);
  second.feed(as_bytes(wire(0x20, std::string{0, 0, 0}) + wire(0x90, u16(1) + std::string{0, 0})), now_);
  EXPECT_THAT(other.words, HasSubstr("QoS 0 alone"));
}

TEST_F(ClientSessionTest, PingsWhenItSaidNothingAndEndsWhenNothingAnswers) {
  become_ready();
  EXPECT_EQ(session_.deadline(), now_ + seconds(30));
  now_ += seconds(30);
  session_.on_time(now_);
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].type, PacketType::pingreq);
  feed(wire(0xD0, ""));
  EXPECT_EQ(session_.deadline(), now_ + seconds(30));
  now_ += seconds(30);
  session_.on_time(now_);
  now_ += seconds(15);
  session_.excuse_silence(now_);
  session_.on_time(now_);
  EXPECT_FALSE(session_.ended()) << "we did not read";
  now_ += seconds(15);
  session_.on_time(now_);
  EXPECT_TRUE(session_.ended());
  EXPECT_EQ(hearer_.code, reason::keep_alive_timeout);
}

TEST_F(ClientSessionTest, AServerMayHaveItPingMoreOftenButNotLessOften) {
  feed(wire(0x20, std::string{0, 0} + list(std::string{0x13, 0, 5})));
  feed(wire(0x90, u16(1) + std::string{0, 1}) + wire(0x90, u16(2) + std::string{0, 1}));
  EXPECT_EQ(session_.deadline(), now_ + seconds(5));
  Hearer other;
  ClientSession never(other, options(), now_);
  never.feed(as_bytes(wire(0x20, std::string{0, 0} + list(std::string{0x13, 0, 0}))), now_);
  never.feed(as_bytes(wire(0x90, u16(1) + std::string{0, 1}) + wire(0x90, u16(2) + std::string{0, 1})), now_);
  EXPECT_EQ(never.deadline(), now_ + seconds(30));
}

TEST_F(ClientSessionTest, AServerThatNeverAnswersIsGivenUp) {
  now_ += seconds(15);
  session_.on_time(now_);
  EXPECT_TRUE(session_.ended());
}

TEST_F(ClientSessionTest, LeavesWithAWord) {
  become_ready();
  session_.disconnect();
  EXPECT_EQ(cut(), reason::success);
}

TEST_F(ClientSessionTest, AServerThatLeavesIsHeard) {
  become_ready();
  feed(encode_disconnect(Version::v5, reason::server_shutting_down, "update"));
  EXPECT_THAT(hearer_.ends, ElementsAre(true));
  EXPECT_EQ(hearer_.code, reason::server_shutting_down);
}

}  // namespace
}  // namespace fleetward::mqtt
