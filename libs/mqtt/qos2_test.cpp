// QoS 1 and 2 from the client (section 4.3), and QoS 1 to it.
#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

using ::testing::ElementsAre;

class FlowTest : public SessionTest {
 protected:
  void SetUp() override {
    SessionTest::SetUp();
    connect();
  }
  void publish(int qos, std::uint16_t id, bool dup = false) {
    feed(encode_publish(GetParam(), "t", fmt::format("p{}", id), static_cast<std::uint8_t>(qos), id, dup));
  }
  void release(std::uint16_t id) { feed(encode_acknowledgement(PacketType::pubrel, GetParam(), id)); }
  std::optional<Acknowledgement> answer(PacketType type) {
    const auto out = frames();
    if (out.size() != 1 || out[0].type != type) return std::nullopt;
    Failure failure;
    return decode_acknowledgement(out[0], GetParam(), failure);
  }
  std::uint8_t in_5(std::uint8_t code) const { return GetParam() == Version::v5 ? code : reason::success; }
};
INSTANTIATE_TEST_SUITE_P(Versions, FlowTest, ::testing::Values(Version::v311, Version::v5), version_name);

TEST_P(FlowTest, Qos2GoesItsWholeWay) {
  publish(2, 7);
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7"));
  EXPECT_FALSE(session_.has_output()) << "no PUBREC before the owner has it durably";
  session_.acknowledge(7);
  const auto received = answer(PacketType::pubrec);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->packet_id, 7);
  EXPECT_EQ(session_.unacknowledged(), 1U) << "known until it is released";
  release(7);
  const auto complete = answer(PacketType::pubcomp);
  ASSERT_TRUE(complete);
  EXPECT_EQ(complete->packet_id, 7);
  EXPECT_EQ(complete->reason_code, reason::success);
  EXPECT_EQ(session_.unacknowledged(), 0U);
}

TEST_P(FlowTest, ARepeatedQos2IsAnsweredAgainAndNotDeliveredAgain) {
  publish(2, 7);
  publish(2, 7, true);
  EXPECT_FALSE(session_.has_output());
  session_.acknowledge(7);
  EXPECT_TRUE(answer(PacketType::pubrec)) << "one answer for both";
  publish(2, 7, true);
  publish(2, 7);
  EXPECT_THAT(types(), ElementsAre(PacketType::pubrec, PacketType::pubrec));
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7"));
  release(7);
  release(7);
  const auto out = frames();
  ASSERT_EQ(out.size(), 2U);
  Failure failure;
  EXPECT_EQ(decode_acknowledgement(out[0], GetParam(), failure)->reason_code, reason::success);
  EXPECT_EQ(decode_acknowledgement(out[1], GetParam(), failure)->reason_code,
            in_5(reason::packet_identifier_not_found));
}

TEST_P(FlowTest, AfterItsPubcompAnIdentifierIsANewMessage) {
  recorder_.acknowledge_at_once = true;
  for (int round = 0; round < 3; ++round) {
    publish(2, 7);
    release(7);
    EXPECT_THAT(types(), ElementsAre(PacketType::pubrec, PacketType::pubcomp));
  }
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7", "p7", "p7"));
}

TEST_P(FlowTest, ARefusedQos2NeedsNoReleaseAndItsIdentifierIsFree) {
  recorder_.acknowledge_at_once = true;
  recorder_.code = reason::quota_exceeded;
  publish(2, 7);
  const auto refused = answer(PacketType::pubrec);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason_code, in_5(reason::quota_exceeded));
  if (GetParam() == Version::v311) return;  // it cannot refuse a publish: its owner closes instead
  EXPECT_EQ(session_.unacknowledged(), 0U);
  publish(2, 7);
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7", "p7"));
}

TEST_P(FlowTest, AnswersKeepTheOrderOfThePublishesOfBothQos) {
  publish(2, 1);
  publish(1, 2);
  publish(2, 3);
  session_.acknowledge(3);
  session_.acknowledge(2);
  EXPECT_FALSE(session_.has_output());
  session_.acknowledge(1);
  EXPECT_THAT(types(), ElementsAre(PacketType::pubrec, PacketType::puback, PacketType::pubrec));
}

TEST_P(FlowTest, WhatWaitsForItsReleaseCountsAgainstTheReceiveMaximum) {
  recorder_.acknowledge_at_once = true;
  const std::uint16_t allowed = GetParam() == Version::v5 ? 64 : 1024;
  for (std::uint16_t id = 1; id <= allowed; ++id) publish(2, id);
  EXPECT_FALSE(session_.ended());
  release(1);
  publish(2, 2000);  // one is complete: there is room for one
  EXPECT_FALSE(session_.ended());
  frames();
  publish(1, 2001);
  EXPECT_EQ(cut(), GetParam() == Version::v5 ? reason::receive_maximum_exceeded : 0xFF);
  EXPECT_EQ(recorder_.payloads.size(), allowed + 1U);
}

TEST_P(FlowTest, AnIdentifierInUseByTheOtherQosEnds) {
  publish(2, 7);
  publish(1, 7);
  EXPECT_EQ(cut(), GetParam() == Version::v5 ? reason::protocol_error : 0xFF);
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7"));
}

TEST_P(FlowTest, ARepeatOfAPendingQos1IsNotDeliveredTwice) {
  publish(1, 7);
  publish(1, 7, true);
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7"));
  session_.acknowledge(7);
  EXPECT_THAT(types(), ElementsAre(PacketType::puback));
  publish(1, 7);
  EXPECT_THAT(recorder_.payloads, ElementsAre("p7", "p7")) << "after its PUBACK it is a new message";
  publish(1, 7);
  EXPECT_TRUE(session_.ended()) << "no repeat, and the identifier is in use";
}

TEST_P(FlowTest, AReleaseOfNothingIsAnsweredSo) {
  release(9);
  const auto complete = answer(PacketType::pubcomp);
  ASSERT_TRUE(complete);
  EXPECT_EQ(complete->packet_id, 9);
  EXPECT_EQ(complete->reason_code, in_5(reason::packet_identifier_not_found));
}

TEST_P(FlowTest, APubrecForNothingIsReleasedAndAPubcompIgnored) {
  feed(encode_acknowledgement(PacketType::pubrec, GetParam(), 3));
  const auto released = answer(PacketType::pubrel);
  ASSERT_TRUE(released);
  EXPECT_EQ(released->packet_id, 3);
  EXPECT_EQ(released->reason_code, in_5(reason::packet_identifier_not_found));
  feed(encode_acknowledgement(PacketType::pubcomp, GetParam(), 3));
  feed(encode_acknowledgement(PacketType::puback, GetParam(), 3));
  EXPECT_FALSE(session_.has_output());
  EXPECT_FALSE(session_.ended());
}

TEST_P(FlowTest, APubrecForAQos1PublishEnds) {
  feed(encode_subscribe(GetParam(), 1, "r", 1));
  ASSERT_TRUE(session_.publish("r", "hello"));
  frames();
  feed(encode_acknowledgement(PacketType::pubrec, GetParam(), 1));
  EXPECT_EQ(cut(), GetParam() == Version::v5 ? reason::protocol_error : 0xFF);
}

TEST_P(FlowTest, APubrelWithWrongFlagsEnds) {
  feed(wire(0x60, u16(1)));
  EXPECT_EQ(cut(), GetParam() == Version::v5 ? reason::malformed_packet : 0xFF);
}

TEST_P(FlowTest, MessagesToTheClientAreBounded) {
  feed(encode_subscribe(GetParam(), 1, "r", 2));
  EXPECT_EQ(frames().at(0).body.back(), 1) << "QoS 1 is granted for QoS 2";
  for (int i = 0; i < 64; ++i) EXPECT_TRUE(session_.publish("r", "x"));
  EXPECT_FALSE(session_.publish("r", "x"));
  const auto out = frames();
  ASSERT_EQ(out.size(), 64U);
  std::set<int> ids;
  for (const Frame& frame : out) ids.insert(frame.body[3] << 8 | frame.body[4]);
  EXPECT_EQ(ids.size(), 64U) << "each its own identifier";
  EXPECT_FALSE(ids.contains(0));
  feed(encode_acknowledgement(PacketType::puback, GetParam(), static_cast<std::uint16_t>(*ids.begin())));
  EXPECT_TRUE(session_.publish("r", "x"));
}

TEST_P(FlowTest, AnUnsubscribeLeavesWhatIsUnderWay) {
  feed(encode_subscribe(GetParam(), 1, "r", 1));
  frames();
  for (int i = 0; i < 64; ++i) session_.publish("r", "x");
  EXPECT_EQ(frames().size(), 64U);
  feed(wire(0xA2, u16(2) + (GetParam() == Version::v5 ? list("") : "") + text("r")));
  frames();
  for (std::uint16_t id = 1; id <= 64; ++id) feed(encode_acknowledgement(PacketType::puback, GetParam(), id));
  feed(encode_subscribe(GetParam(), 3, "r", 1));
  EXPECT_TRUE(session_.publish("r", "x")) << "all of them were still waited for, and done with";
}

TEST_P(FlowTest, WhatIsAcknowledgedAfterTheEndIsNotSent) {
  publish(2, 1);
  session_.disconnect(reason::administrative_action);
  output_ = session_.take_output();
  session_.acknowledge(1);
  EXPECT_FALSE(session_.has_output());
}

// ---- the client's Receive Maximum

class OutboundTest : public SessionTest {};
INSTANTIATE_TEST_SUITE_P(Versions, OutboundTest, ::testing::Values(Version::v5), version_name);

TEST_P(OutboundTest, NeverMoreUnacknowledgedThanTheClientTakes) {
  connect_5(std::string("\x21") + u16(2));
  feed(encode_subscribe(Version::v5, 1, "r", 1));
  frames();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(session_.publish("r", fmt::format("{}", i)));
  EXPECT_EQ(frames().size(), 2U);
  feed(encode_acknowledgement(PacketType::puback, Version::v5, 1));
  const auto next = frames();
  ASSERT_EQ(next.size(), 1U);
  Failure failure;
  EXPECT_EQ(as_text(decode_publish(next[0], Version::v5, failure)->payload), "2");
  feed(encode_acknowledgement(PacketType::puback, Version::v5, 2) +
       encode_acknowledgement(PacketType::puback, Version::v5, 3));
  EXPECT_EQ(frames().size(), 2U);
}

TEST_P(OutboundTest, ARefusalOfAMessageFreesItsPlaceToo) {
  connect_5(std::string("\x21") + u16(1));
  feed(encode_subscribe(Version::v5, 1, "r", 1));
  frames();
  session_.publish("r", "a");
  session_.publish("r", "b");
  EXPECT_EQ(frames().size(), 1U);
  feed(encode_acknowledgement(PacketType::puback, Version::v5, 1, reason::quota_exceeded, "full"));
  EXPECT_EQ(frames().size(), 1U);
}

TEST_P(OutboundTest, WhatIsTooLargeForTheClientIsNotSentAndNotWaitedFor) {
  connect_5(std::string("\x27") + u32(60) + "\x21" + u16(1));
  feed(encode_subscribe(Version::v5, 1, "r", 1) + encode_subscribe(Version::v5, 2, "r0", 0));
  frames();
  EXPECT_TRUE(session_.publish("r", std::string(100, 'x')));
  EXPECT_FALSE(session_.has_output());
  EXPECT_FALSE(session_.publish("r0", std::string(100, 'x')));
  EXPECT_TRUE(session_.publish("r", "small"));
  EXPECT_EQ(frames().size(), 1U);
}

}  // namespace
}  // namespace fleetward::mqtt
