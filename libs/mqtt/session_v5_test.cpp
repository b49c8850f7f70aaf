// What a session of MQTT 5 announces, honours and refuses.
#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class SessionV5Test : public SessionTest {
 protected:
  // SUBSCRIBE of one filter with options.
  void subscribe(std::string_view filter, int options = 0, std::string_view properties = {}) {
    feed(wire(0x82, u16(1) + list(properties) + text(filter) + std::string(1, static_cast<char>(options))));
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, SessionV5Test, ::testing::Values(Version::v5), version_name);

// ---- CONNECT

TEST_P(SessionV5Test, EnhancedAuthenticationIsRefused) {
  EXPECT_EQ(connect_5("\x15" + text("SCRAM-SHA-1") + "\x16" + text("data")).code, reason::bad_authentication_method);
  EXPECT_TRUE(session_.ended());
  EXPECT_THAT(recorder_.client_ids, IsEmpty()) << "nobody is asked";
}

TEST_P(SessionV5Test, AnAuthAfterwardsIsAProtocolError) {
  connect_5("");
  feed(wire(0xF0, "\x19" + list("\x15" + text("m"))));
  EXPECT_EQ(cut(), reason::protocol_error);
}

TEST_P(SessionV5Test, AMalformedAuthIsMalformed) {
  connect_5("");
  feed(wire(0xF1, ""));
  EXPECT_EQ(cut(), reason::malformed_packet);
}

TEST_P(SessionV5Test, SessionsEndWithTheirConnection) {
  EXPECT_EQ(connect_5("\x11" + u32(3600)).properties.session_expiry_interval, 0U) << "asked for, and told otherwise";
}

TEST_P(SessionV5Test, WhoAsksForNoSessionExpiryIsNotTold) {
  EXPECT_FALSE(connect_5("", "dev1", 0).properties.session_expiry_interval.has_value());
}

TEST_P(SessionV5Test, ASessionExpiryThatComesOnlyWithTheDisconnectIsAProtocolError) {
  connect_5("");
  feed(wire(0xE0, std::string(1, '\0') + list("\x11" + u32(5))));
  EXPECT_EQ(cut(), reason::protocol_error);
}

TEST_P(SessionV5Test, ASessionExpiryInBothIsGood) {
  connect_5("\x11" + u32(60));
  feed(wire(0xE0, std::string(1, '\0') + list("\x11" + u32(5))));
  EXPECT_THAT(recorder_.ends, ElementsAre(Pair(reason::success, true)));
}

TEST_P(SessionV5Test, AKeepAliveThatIsTooLongIsShortenedAndTold) {
  feed(wire(0x10, text("MQTT") + std::string{5, 2} + u16(5000) + list("") + text("dev1")));
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), Version::v5, failure)->properties.server_keep_alive, 1200);
  session_.on_time(std::chrono::seconds(1799));
  EXPECT_FALSE(session_.ended());
  session_.on_time(std::chrono::seconds(1800));
  EXPECT_EQ(cut(), reason::keep_alive_timeout);
}

TEST_P(SessionV5Test, AKeepAliveThatIsTakenIsNotRepeated) {
  EXPECT_FALSE(connect_5("").properties.server_keep_alive.has_value());
}

TEST_P(SessionV5Test, HalfAPacketKeepsNothingAlive) {
  connect_5("");
  const std::string packet = encode_publish(Version::v5, "t", "x", 0, 0);
  session_.feed(as_bytes(packet.substr(0, 3)), std::chrono::seconds(14));
  session_.on_time(std::chrono::seconds(15));
  EXPECT_EQ(cut(), reason::keep_alive_timeout);
}

TEST_P(SessionV5Test, WhoGivesNoNameIsToldItsOwn) {
  EXPECT_EQ(connect_5("", "").properties.assigned_client_identifier, "given");
}

TEST_P(SessionV5Test, WhoGivesANameIsNot) {
  EXPECT_FALSE(connect_5("").properties.assigned_client_identifier.has_value());
}

TEST_P(SessionV5Test, NoResponseInformationIsGivenWhetherAskedForOrNot) {
  EXPECT_FALSE(connect_5("\x19\x01").properties.response_information.has_value());
}

TEST_P(SessionV5Test, AWillThatIsToBeRetainedIsRefused) {
  feed(connect_packet("", "dev1", 0x26, list("") + text("w") + text("bye")));
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), Version::v5, failure)->code, reason::retain_not_supported);
}

TEST_P(SessionV5Test, AMalformedConnectIsAnsweredInItsVersion) {
  feed(wire(0x10, text("MQTT") + std::string{5, 3, 0, 10} + list("") + text("dev1")));
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), Version::v5, failure)->code, reason::malformed_packet);
}

TEST_P(SessionV5Test, AnUnknownVersionIsToldSo) {
  feed(wire(0x10, text("MQTT") + std::string{6, 2, 0, 10} + list("") + text("dev1")));
  EXPECT_EQ(session_.take_output(), std::string("\x20\x02\x00\x01", 4)) << "as 3.1.1 says it";
  EXPECT_TRUE(session_.ended());
}

TEST_P(SessionV5Test, ACodeThatNoConnackMayCarryIsReplaced) {
  recorder_.accept_at_once = false;
  feed(connect_packet(""));
  session_.disconnect(reason::server_shutting_down);
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), Version::v5, failure)->code, reason::server_unavailable);
}

TEST_P(SessionV5Test, ARefusalSaysWhy) {
  recorder_.accept_at_once = false;
  feed(connect_packet(""));
  session_.refuse(reason::connection_rate_exceeded, {}, "too often");
  const auto out = frames();
  Failure failure;
  EXPECT_EQ(decode_connack(out.at(0), Version::v5, failure)->properties.reason_string, "too often");
}

// ---- the client's Maximum Packet Size

TEST_P(SessionV5Test, AConnackLeavesOutWhatDoesNotFit) {
  recorder_.accept_at_once = false;
  feed(connect_packet("\x27" + u32(40)));
  session_.accept({{"name", std::string(100, 'x')}});
  EXPECT_TRUE(session_.connected());
  const auto out = frames();
  Failure failure;
  EXPECT_THAT(decode_connack(out.at(0), Version::v5, failure)->properties.user, IsEmpty());
  EXPECT_LE(out[0].whole.size(), 40U);
}

TEST_P(SessionV5Test, WhoTakesNoConnackIsNotLetIn) {
  recorder_.accept_at_once = false;
  feed(connect_packet("\x27" + u32(4)));
  session_.accept();
  EXPECT_TRUE(session_.ended());
  EXPECT_FALSE(session_.has_output()) << "not even a refusal fits";
  EXPECT_THAT(recorder_.ends, ElementsAre(Pair(reason::packet_too_large, false)));
}

TEST_P(SessionV5Test, WordsThatMakeAnAcknowledgementTooLargeAreLeftOut) {
  connect_5("\x27" + u32(45));
  feed(publish_5("t", "", 1, 1));
  session_.acknowledge(1, reason::not_authorized, std::string(50, 'x'));
  EXPECT_EQ(session_.take_output(), encode_acknowledgement(PacketType::puback, Version::v5, 1, reason::not_authorized));
}

TEST_P(SessionV5Test, ASubackThatIsTooLargeEnds) {
  connect_5("\x27" + u32(40));
  std::string filters;
  for (int i = 0; i < 45; ++i) filters += text(fmt::format("f{}", i)) + std::string(1, '\0');
  feed(wire(0x82, u16(1) + list("") + filters));
  EXPECT_EQ(cut(), reason::packet_too_large);
}

TEST_P(SessionV5Test, APacketOverOurMaximumIsRefusedByItsHeader) {
  connect_5("");
  feed(std::string("\x30\xFF\xFF\x7F", 4));
  EXPECT_EQ(cut(), reason::packet_too_large);
}

// ---- reasons in words (Request Problem Information)

TEST_P(SessionV5Test, AnAcknowledgementSaysWhyItRefuses) {
  connect_5("");
  feed(publish_5("t", "", 1, 1) + publish_5("t", "", 2, 2) + publish_5("t", "", 1, 3));
  session_.acknowledge(1, reason::not_authorized, "not yours");
  session_.acknowledge(2, reason::quota_exceeded, "too much");
  session_.acknowledge(3, reason::success, "not said");
  const auto out = frames();
  ASSERT_EQ(out.size(), 3U);
  Failure failure;
  EXPECT_EQ(decode_acknowledgement(out[0], Version::v5, failure)->properties.reason_string, "not yours");
  EXPECT_EQ(decode_acknowledgement(out[1], Version::v5, failure)->properties.reason_string, "too much");
  EXPECT_FALSE(decode_acknowledgement(out[2], Version::v5, failure)->properties.reason_string.has_value());
}

TEST_P(SessionV5Test, WhoWantsNoWordsGetsNone) {
  connect_5({"\x17\x00", 2});
  feed(publish_5("t", "", 1, 1));
  session_.acknowledge(1, reason::not_authorized, "not yours");
  EXPECT_EQ(session_.take_output(), encode_acknowledgement(PacketType::puback, Version::v5, 1, reason::not_authorized));
  session_.disconnect(reason::administrative_action, "words");
  EXPECT_EQ(session_.take_output(), encode_disconnect(Version::v5, reason::administrative_action));
}

TEST_P(SessionV5Test, ACodeThatNoPubackMayCarryIsReplaced) {
  connect_5("");
  feed(publish_5("t", "", 1, 1));
  session_.acknowledge(1, reason::server_busy);
  EXPECT_EQ(frames().at(0).body[2], reason::unspecified_error);
}

TEST_P(SessionV5Test, ADisconnectSaysWhy) {
  connect_5("");
  feed(wire(0x36, ""));
  const auto out = frames();
  Failure failure;
  const auto disconnect = decode_disconnect(out.at(0), Version::v5, failure);
  ASSERT_TRUE(disconnect) << failure.text;
  EXPECT_EQ(disconnect->reason_code, reason::malformed_packet);
  EXPECT_EQ(disconnect->properties.reason_string, "QoS 3");
  EXPECT_FALSE(disconnect->properties.session_expiry_interval.has_value());
}

// ---- PUBLISH

TEST_P(SessionV5Test, ATopicAliasStandsForItsTopic) {
  connect_5("");
  feed(publish_5("a/b", "\x23" + u16(8)) + publish_5("", "\x23" + u16(8), 1, 5) + publish_5("c", "\x23" + u16(1)));
  feed(publish_5("d", "\x23" + u16(8)) + publish_5("", "\x23" + u16(8)) + publish_5("", "\x23" + u16(1)));
  EXPECT_THAT(recorder_.publishes, ElementsAre("a/b", "a/b", "c", "d", "d", "c"));
}

TEST_P(SessionV5Test, ATopicAliasOverTheMaximumEnds) {
  connect_5("");
  feed(publish_5("a", "\x23" + u16(9)));
  EXPECT_EQ(cut(), reason::topic_alias_invalid);
}

TEST_P(SessionV5Test, ATopicAliasOfZeroEnds) {
  connect_5("");
  feed(publish_5("a", "\x23" + u16(0)));
  EXPECT_EQ(cut(), reason::topic_alias_invalid);
}

TEST_P(SessionV5Test, ATopicAliasThatStandsForNothingEnds) {
  connect_5("");
  feed(publish_5("a", "\x23" + u16(8)) + publish_5("", "\x23" + u16(7)));
  EXPECT_EQ(cut(), reason::protocol_error);
}

TEST_P(SessionV5Test, AnAliasIsOfItsConnection) {
  connect_5("");
  feed(publish_5("a", "\x23" + u16(8)));
  Recorder other;
  ServerSession second(other, limits(), now_);
  other.session = &second;
  second.feed(as_bytes(connect_packet("")), now_);
  second.feed(as_bytes(publish_5("", "\x23" + u16(8))), now_);
  EXPECT_TRUE(second.ended());
  EXPECT_THAT(other.publishes, IsEmpty());
}

TEST_P(SessionV5Test, ARetainedMessageIsRefused) {
  connect_5("");
  feed(publish_5("t", "", 1, 1, "x", 1));
  EXPECT_EQ(cut(), reason::retain_not_supported);
  EXPECT_THAT(recorder_.publishes, IsEmpty());
}

TEST_P(SessionV5Test, AWildcardInATopicEnds) {
  connect_5("");
  feed(publish_5("a/+", ""));
  EXPECT_EQ(cut(), reason::topic_name_invalid);
}

TEST_P(SessionV5Test, ATopicLongerThanAllowedEnds) {
  connect_5("");
  feed(publish_5(std::string(1025, 't'), ""));
  EXPECT_EQ(cut(), reason::topic_name_invalid);
}

TEST_P(SessionV5Test, AllPropertiesOfAPublishAreTold) {
  const std::string packet = publish_5("t", "\x01\x01" + ("\x02" + u32(9)) + "\x03" + text("json") + "\x08" +
                                                text("r/t") + "\x09" + text("id") + "\x26" + text("k") + text("v"));
  Failure failure;
  const auto publish = decode_publish(*next_frame(as_bytes(packet), 1 << 20, failure), Version::v5, failure);
  ASSERT_TRUE(publish) << failure.text;
  const Properties& p = publish->properties;
  EXPECT_EQ(p.payload_format_indicator, 1);
  EXPECT_EQ(p.message_expiry_interval, 9U);
  EXPECT_EQ(p.content_type, "json");
  EXPECT_EQ(p.response_topic, "r/t");
  EXPECT_EQ(as_text(*p.correlation_data), "id");
  EXPECT_EQ(p.user.at(0).value, "v");
  EXPECT_EQ(as_text(publish->payload), "x");
}

// ---- SUBSCRIBE and UNSUBSCRIBE

TEST_P(SessionV5Test, WhatWasAnnouncedAsNotAvailableEndsWithItsCode) {
  const std::vector<std::tuple<std::string, int, std::string, std::uint8_t>> cases{
      {"a/+/b", 0, "", reason::wildcard_subscriptions_not_supported},
      {"#", 0, "", reason::wildcard_subscriptions_not_supported},
      {"$share/g/a", 0, "", reason::shared_subscriptions_not_supported},
      {"$share/g/a", 4, "", reason::protocol_error},  // no local
      {"a", 0, "\x0B\x07", reason::subscription_identifiers_not_supported},
  };
  for (const auto& [filter, options, properties, code] : cases) {
    Recorder recorder;
    ServerSession session(recorder, limits(), now_);
    recorder.session = &session;
    session.feed(as_bytes(connect_packet("")), now_);
    output_ = session.take_output();
    const std::string packet =
        wire(0x82, u16(1) + list(properties) + text(filter) + std::string(1, static_cast<char>(options)));
    session.feed(as_bytes(packet), now_);
    EXPECT_EQ(cut_code(session.take_output()), code) << filter;
  }
}

TEST_P(SessionV5Test, EachFilterGetsItsCode) {
  connect_5("");
  feed(wire(0x82, u16(9) + list("") + text("good") + std::string(1, 1) + text("deny/x") + std::string(1, 1) +
                      text("a#") + std::string(1, 0) + text(std::string(1025, 'f')) + std::string(1, 0) + text("q0") +
                      std::string(1, 0)));
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].type, PacketType::suback);
  EXPECT_THAT(
      Bytes(out[0].body.begin(), out[0].body.end()),
      ElementsAre(0, 9, 0, 1, reason::not_authorized, reason::topic_filter_invalid, reason::topic_filter_invalid, 0));
  feed(wire(0xA2, u16(10) + list("") + text("good") + text("good") + text("a#")));
  const auto answer = frames();
  EXPECT_THAT(Bytes(answer.at(0).body.begin(), answer.at(0).body.end()),
              ElementsAre(0, 10, 0, reason::success, reason::no_subscription_existed, reason::topic_filter_invalid));
}

TEST_P(SessionV5Test, SubscriptionsAreBounded) {
  connect_5("");
  for (int i = 0; i < 50; ++i) subscribe(fmt::format("f{}", i));
  frames();
  subscribe("one-more");
  EXPECT_EQ(frames().at(0).body.back(), reason::quota_exceeded);
  subscribe("f7");
  EXPECT_EQ(frames().at(0).body.back(), reason::success) << "one that is there already may be replaced";
  std::string filters;
  for (int i = 0; i < 51; ++i) filters += text("f") + std::string(1, '\0');
  feed(wire(0x82, u16(1) + list("") + filters));
  EXPECT_EQ(cut(), reason::quota_exceeded);
}

TEST_P(SessionV5Test, ASubscriptionReplacesAnEqualOne) {
  connect_5("");
  subscribe("r", 1);
  subscribe("r", 0);
  frames();
  ASSERT_TRUE(session_.publish("r", "x"));
  const auto out = frames();
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].flags, 0) << "QoS 0, as subscribed last";
}

TEST_P(SessionV5Test, AnUnsubscribedTopicGetsNothing) {
  connect_5("");
  subscribe("r", 1);
  feed(wire(0xA2, u16(2) + list("") + text("r")));
  EXPECT_FALSE(session_.publish("r", "x"));
}

TEST_P(SessionV5Test, AnIdentifierOfAPublishUnderWayIsInUse) {
  connect_5("");
  feed(publish_5("t", "", 2, 1));
  subscribe("r", 1);
  EXPECT_EQ(frames().at(0).body.back(), reason::packet_identifier_in_use);
  EXPECT_FALSE(session_.is_subscribed("r"));
  feed(wire(0xA2, u16(1) + list("") + text("r")));
  EXPECT_EQ(frames().at(0).body.back(), reason::packet_identifier_in_use);
}

// ---- DISCONNECT

TEST_P(SessionV5Test, ACodeOfServersFromAClientIsAProtocolError) {
  connect_5("");
  feed(wire(0xE0, "\x8B"));
  EXPECT_EQ(cut(), reason::protocol_error);
}

TEST_P(SessionV5Test, NothingIsSentOrHeardAfterTheEnd) {
  connect_5("");
  feed(encode_disconnect(Version::v5, reason::disconnect_with_will) + publish_5("t", ""));
  EXPECT_TRUE(session_.ended());
  EXPECT_THAT(recorder_.publishes, IsEmpty());
  EXPECT_FALSE(session_.has_output());
  session_.disconnect(reason::administrative_action);
  EXPECT_FALSE(session_.has_output());
}

TEST_P(SessionV5Test, PacketsThatOnlyServersSendEnd) {
  for (const int first : {0x20, 0x90, 0xB0, 0xD0}) {
    Recorder recorder;
    ServerSession session(recorder, limits(), now_);
    recorder.session = &session;
    session.feed(as_bytes(connect_packet("")), now_);
    output_ = session.take_output();
    session.feed(as_bytes(wire(first, "")), now_);
    EXPECT_EQ(cut_code(session.take_output()), reason::protocol_error) << first;
  }
}

}  // namespace
}  // namespace fleetward::mqtt
