#include "mqtt/session_fixture.hpp"

namespace fleetward::mqtt {
namespace {

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

TEST(Decode, ConnectFlagsAgreeWithThePayload) {
  const auto code = [](int level, int flags, const std::string& behind) {
    const std::string packet =
        wire(0x10, text("MQTT") + std::string{static_cast<char>(level), static_cast<char>(flags), 0, 10} +
                       (level == 5 ? list("") : "") + text("c") + behind);
    Failure failure;
    decode_connect(*next_frame(as_bytes(packet), 1 << 16, failure), failure);
    return failure.reason_code;
  };
  for (const int level : {4, 5}) {
    const std::string properties = level == 5 ? list("") : "";
    EXPECT_EQ(code(level, 0x02, ""), reason::success);
    EXPECT_EQ(code(level, 0x0A, ""), reason::malformed_packet) << "will QoS without a will";
    EXPECT_EQ(code(level, 0x22, ""), reason::malformed_packet) << "will retain without a will";
    EXPECT_EQ(code(level, 0x1E, properties + text("w") + text("p")), reason::malformed_packet) << "will QoS 3";
    EXPECT_EQ(code(level, 0x06, properties + text("w") + text("p")), reason::success);
    EXPECT_EQ(code(level, 0x06, properties + text("w")), reason::malformed_packet) << "no will message";
    EXPECT_EQ(code(level, 0x06, properties + text("w/#") + text("p")), reason::topic_name_invalid);
    EXPECT_EQ(code(level, 0xC2, text("user") + text("password")), reason::success);
    EXPECT_EQ(code(level, 0x82, ""), reason::malformed_packet) << "no user name";
    EXPECT_EQ(code(level, 0xC2, text("user")), reason::malformed_packet) << "no password";
    EXPECT_EQ(code(level, 0x02, text("user")), reason::malformed_packet) << "a user name without its flag";
    EXPECT_EQ(code(level, 0x42, text("password")), level == 5 ? reason::success : reason::malformed_packet);
  }
}

}  // namespace
}  // namespace fleetward::mqtt
