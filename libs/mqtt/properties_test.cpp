// The properties of MQTT 5 (section 2.2.2): where they may stand, once each, in range, in UTF-8.
#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

// The reason code that the packet is refused with; success when it is not.
std::uint8_t refusal(const std::string& packet, Version version = Version::v5) {
  Failure failure;
  const auto frame = next_frame(as_bytes(packet), 1 << 20, failure);
  if (!frame) return failure.reason_code;
  switch (frame->type) {
    case PacketType::connect:
      decode_connect(*frame, failure);
      break;
    case PacketType::connack:
      decode_connack(*frame, version, failure);
      break;
    case PacketType::publish:
      decode_publish(*frame, version, failure);
      break;
    case PacketType::subscribe:
      decode_subscribe(*frame, version, failure);
      break;
    case PacketType::unsubscribe:
      decode_unsubscribe(*frame, version, failure);
      break;
    case PacketType::disconnect:
      decode_disconnect(*frame, version, failure);
      break;
    case PacketType::auth:
      decode_auth(*frame, failure);
      break;
    default:
      decode_acknowledgement(*frame, version, failure);
  }
  return failure.reason_code;
}

struct Known {
  std::string name;
  std::string bytes;  // one good instance
  std::string
      places;  // of CWApSDRUX: connect, will, connack, publish, subscribe, disconnect, receipt, unsubscribe, auth
};
const std::vector<Known>& known() {
  static const std::vector<Known> all{
      {"payload format", {"\x01\x01", 2}, "Wp"},
      {"message expiry", "\x02" + u32(5), "Wp"},
      {"content type", "\x03" + text("t"), "Wp"},
      {"response topic", "\x08" + text("r"), "Wp"},
      {"correlation data", "\x09" + text("c"), "Wp"},
      {"subscription identifier", {"\x0B\x05", 2}, "S"},
      {"session expiry", "\x11" + u32(0), "CAD"},
      {"assigned client id", "\x12" + text("a"), "A"},
      {"server keep alive", "\x13" + u16(9), "A"},
      {"authentication method", "\x15" + text("m"), "CAX"},
      {"request problem information", {"\x17\x01", 2}, "C"},
      {"will delay", "\x18" + u32(3), "W"},
      {"request response information", {"\x19\x01", 2}, "C"},
      {"response information", "\x1A" + text("i"), "A"},
      {"server reference", "\x1C" + text("s"), "AD"},
      {"reason string", "\x1F" + text("why"), "ADRX"},
      {"receive maximum", "\x21" + u16(3), "CA"},
      {"topic alias maximum", "\x22" + u16(3), "CA"},
      {"topic alias", "\x23" + u16(3), "p"},
      {"maximum QoS", {"\x24\x01", 2}, "A"},
      {"retain available", {"\x25\x00", 2}, "A"},
      {"maximum packet size", "\x27" + u32(100), "CA"},
      {"wildcard available", {"\x28\x00", 2}, "A"},
      {"subscription ids available", {"\x29\x00", 2}, "A"},
      {"shared available", {"\x2A\x00", 2}, "A"},
  };
  return all;
}

std::string at(char place, const std::string& properties) {
  switch (place) {
    case 'C':
      return connect_packet(properties);
    case 'W':
      return connect_packet("", "dev1", 0x06, list(properties) + text("will/topic") + text("bye"));
    case 'A':
      return wire(0x20, std::string(2, '\0') + list(properties));
    case 'p':
      return publish_5("t", properties);
    case 'S':
      return wire(0x82, u16(1) + list(properties) + text("f") + std::string(1, '\0'));
    case 'D':
      return wire(0xE0, std::string(1, '\0') + list(properties));
    case 'R':
      return wire(0x40, u16(1) + std::string(1, '\0') + list(properties));
    case 'U':
      return wire(0xA2, u16(1) + list(properties) + text("f"));
    default:
      return wire(0xF0, "\x18" + list(properties));
  }
}

constexpr std::string_view places = "CWApSDRUX";

TEST(Properties, StandWhereTheyMayAndNowhereElse) {
  for (const Known& property : known()) {
    for (const char place : places) {
      const bool may = property.places.find(place) != std::string::npos;
      if (place == 'p' && property.bytes[0] == 0x0B) continue;  // only a server may: a protocol error of its own
      EXPECT_EQ(refusal(at(place, property.bytes)), may ? reason::success : reason::malformed_packet)
          << property.name << " in " << place;
    }
  }
}

TEST(Properties, AreThereOnceButUserProperties) {
  for (const Known& property : known()) {
    for (const char place : property.places) {
      EXPECT_EQ(refusal(at(place, property.bytes + property.bytes)), reason::protocol_error)
          << property.name << " in " << place;
    }
  }
  const std::string user = "\x26" + text("a") + text("b");
  for (const char place : places) EXPECT_EQ(refusal(at(place, user + user)), reason::success) << place;
}

TEST(Properties, NoPrefixOfThemIsGood) {
  for (const Known& property : known()) {
    for (std::size_t n = 1; n < property.bytes.size(); ++n) {
      EXPECT_NE(refusal(at(property.places[0], property.bytes.substr(0, n))), reason::success)
          << property.name << " cut after " << n;
    }
  }
}

TEST(Properties, UserPropertiesAreBoundedAndKeepTheirOrder) {
  std::string user;
  for (std::size_t i = 0; i < user_properties_max; ++i) user += "\x26" + text(fmt::format("n{}", i % 2)) + text("v");
  const std::string packet = publish_5("t", user);
  Failure failure;
  const auto publish = decode_publish(*next_frame(as_bytes(packet), 1 << 20, failure), Version::v5, failure);
  ASSERT_TRUE(publish) << failure.text;
  ASSERT_EQ(publish->properties.user.size(), user_properties_max);
  EXPECT_EQ(publish->properties.user[0].name, "n0");
  EXPECT_EQ(publish->properties.user[1].name, "n1");
  for (const char place : places)
    EXPECT_EQ(refusal(at(place, user + "\x26" + text("one") + text("more"))), reason::quota_exceeded) << place;
}

TEST(Properties, ValuesOutOfRangeAreProtocolErrors) {
  EXPECT_EQ(refusal(at('p', "\x01\x02")), reason::protocol_error) << "payload format 2";
  EXPECT_EQ(refusal(at('C', "\x17\x02")), reason::protocol_error);
  EXPECT_EQ(refusal(at('C', "\x19\x02")), reason::protocol_error);
  EXPECT_EQ(refusal(at('C', "\x21" + u16(0))), reason::protocol_error) << "receive maximum 0";
  EXPECT_EQ(refusal(at('C', "\x27" + u32(0))), reason::protocol_error) << "maximum packet size 0";
  EXPECT_EQ(refusal(at('S', {"\x0B\x00", 2})), reason::protocol_error) << "subscription identifier 0";
  EXPECT_EQ(refusal(at('p', "\x23" + u16(0))), reason::topic_alias_invalid);
  EXPECT_EQ(refusal(at('p', "\x08" + text("a/#"))), reason::protocol_error) << "wildcard in a response topic";
  EXPECT_EQ(refusal(at('W', "\x08" + text("a/+"))), reason::protocol_error);
  EXPECT_EQ(refusal(at('C', "\x16" + text("data"))), reason::protocol_error) << "data without a method";
  EXPECT_EQ(refusal(at('p', "\x0B\x05")), reason::protocol_error) << "subscription identifier from a client";
}

TEST(Properties, UnknownIdentifiersAndWrongLengthsAreMalformed) {
  EXPECT_EQ(refusal(at('C', "\x7F\x01")), reason::malformed_packet);
  EXPECT_EQ(refusal(at('C', {"\x80\x00", 2})), reason::malformed_packet) << "an identifier encoded too long";
  EXPECT_EQ(refusal(wire(0x30, text("t") + "\x05\x01")), reason::malformed_packet) << "longer than the packet";
  EXPECT_EQ(refusal(wire(0x30, text("t") + "\x82")), reason::malformed_packet) << "a length that does not end";
  EXPECT_EQ(refusal(wire(0x30, text("t"))), reason::malformed_packet) << "no property length";
  EXPECT_EQ(refusal(wire(0x30, text("t") + std::string("\x80\x00x", 3))), reason::malformed_packet)
      << "a length encoded too long";
  EXPECT_EQ(refusal(wire(0x30, text("t") + "\xFF\xFF\xFF\xFF\x01")), reason::malformed_packet);
}

TEST(Properties, TextIsUtf8) {
  const std::vector<std::string> bad{{"a\0b", 3}, "\xED\xA0\x80",     "\xED\xBF\xBF", "\xC0\x80",
                                     "\xFF",      "\xF4\x90\x80\x80", "\xE2\x82"};
  for (const std::string& t : bad) {
    EXPECT_EQ(refusal(publish_5(t, "")), reason::malformed_packet) << "topic";
    EXPECT_EQ(refusal(wire(0x30, text(t)), Version::v311), reason::malformed_packet) << "topic in 3.1.1";
    EXPECT_EQ(refusal(at('p', "\x03" + text(t))), reason::malformed_packet) << "content type";
    EXPECT_EQ(refusal(at('p', "\x26" + text(t) + text("v"))), reason::malformed_packet) << "user property name";
    EXPECT_EQ(refusal(at('p', "\x26" + text("n") + text(t))), reason::malformed_packet) << "user property value";
    EXPECT_EQ(refusal(connect_packet("", t)), reason::malformed_packet) << "client identifier";
    EXPECT_EQ(refusal(connect_packet("", "c", 0x82, text(t))), reason::malformed_packet) << "user name";
    EXPECT_EQ(refusal(wire(0x82, u16(1) + list("") + text(t) + std::string(1, '\0'))), reason::malformed_packet);
    EXPECT_EQ(refusal(wire(0xA2, u16(1) + list("") + text(t))), reason::malformed_packet);
    EXPECT_EQ(refusal(connect_packet("", "c", 0x06, list("") + text(t) + text("p"))), reason::malformed_packet);
    EXPECT_EQ(refusal(at('p', "\x09" + text(t))), reason::success) << "correlation data is no text";
  }
  const std::string marked = "\xEF\xBB\xBFt";
  const std::string packet = publish_5(marked, "");
  Failure failure;
  EXPECT_EQ(decode_publish(*next_frame(as_bytes(packet), 1 << 20, failure), Version::v5, failure)->topic, marked)
      << "a byte order mark is kept";
}

TEST(Reasons, StandWhereTheyMay) {
  EXPECT_EQ(refusal(wire(0x40, u16(1) + "\x97")), reason::success);
  EXPECT_EQ(refusal(wire(0x40, u16(1) + "\x92")), reason::protocol_error) << "0x92 in a PUBACK";
  EXPECT_EQ(refusal(wire(0x62, u16(1) + "\x92")), reason::success);
  EXPECT_EQ(refusal(wire(0x62, u16(1) + "\x97")), reason::protocol_error);
  EXPECT_EQ(refusal(wire(0xE0, "\x05")), reason::protocol_error);
  EXPECT_EQ(refusal(wire(0xF0, "\x01" + list(""))), reason::protocol_error);
  EXPECT_EQ(refusal(wire(0xF0, "")), reason::success);
  EXPECT_EQ(refusal(wire(0x40, u16(1) + "\x10"), Version::v311), reason::malformed_packet) << "3.1.1 has no codes";
  EXPECT_EQ(refusal(wire(0xE0, std::string(1, '\0')), Version::v311), reason::malformed_packet);
  EXPECT_FALSE(may_carry(PacketType::disconnect, Sender::client, reason::server_busy));
  EXPECT_TRUE(may_carry(PacketType::disconnect, Sender::server, reason::message_rate_too_high));
  EXPECT_TRUE(may_carry(PacketType::connack, Sender::server, reason::connection_rate_exceeded));
  EXPECT_FALSE(may_carry(PacketType::connack, Sender::server, reason::server_shutting_down));
  EXPECT_FALSE(may_carry(PacketType::pingresp, Sender::server, reason::success));
}

TEST(Reasons, OfAConnackIn311) {
  EXPECT_EQ(connack_code_311(reason::success), 0);
  EXPECT_EQ(connack_code_311(reason::unsupported_protocol_version), 1);
  EXPECT_EQ(connack_code_311(reason::client_identifier_not_valid), 2);
  EXPECT_EQ(connack_code_311(reason::server_busy), 3);
  EXPECT_EQ(connack_code_311(reason::connection_rate_exceeded), 3);
  EXPECT_EQ(connack_code_311(reason::banned), 5);
}

TEST(Options, OfASubscription) {
  const auto with = [](int options, Version version) {
    const std::string properties = version == Version::v5 ? list("") : "";
    return refusal(wire(0x82, u16(1) + properties + text("f") + std::string(1, static_cast<char>(options))), version);
  };
  EXPECT_EQ(with(0x2E, Version::v5), reason::success) << "no local, retain as published, retain handling 2, QoS 2";
  EXPECT_EQ(with(0x03, Version::v5), reason::protocol_error) << "QoS 3";
  EXPECT_EQ(with(0x30, Version::v5), reason::protocol_error) << "retain handling 3";
  EXPECT_EQ(with(0x40, Version::v5), reason::malformed_packet) << "reserved";
  EXPECT_EQ(with(0x02, Version::v311), reason::success);
  EXPECT_EQ(with(0x03, Version::v311), reason::malformed_packet);
  EXPECT_EQ(with(0x04, Version::v311), reason::malformed_packet);
}

}  // namespace
}  // namespace fleetward::mqtt
