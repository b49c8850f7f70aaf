// CONNECT and CONNACK (sections 3.1 and 3.2).
#include "mqtt/decode.hpp"
#include "mqtt/properties.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

Will read_will(Cursor& c, Version version, std::uint8_t flags) {
  Will w;
  w.qos = flags >> 3 & 3;
  w.retain = (flags & 0x20) != 0;
  w.properties = read_properties(c, version, in_will);
  w.topic = c.text("will topic");
  w.payload = c.binary("will payload");
  if (!c.failed() && !is_topic_name(w.topic))
    c.fail(reason::topic_name_invalid, "the will's topic is not a topic name");
  return w;
}

bool read_protocol(Cursor& c, Connect& packet) {
  const std::string_view name = c.text("protocol name");
  const std::uint8_t level = c.u8("protocol level");
  if (c.failed()) return false;
  if (name != "MQTT" || (level != 4 && level != 5)) {
    c.fail(reason::unsupported_protocol_version, fmt::format("protocol {} level {}", printable(name, 16), level));
    return false;
  }
  packet.version = static_cast<Version>(level);
  return true;
}

void check_connect_flags(Cursor& c, std::uint8_t flags, Version version) {
  const bool has_will = (flags & 0x04) != 0;
  if ((flags & 0x01) != 0) c.malformed("the reserved connect flag is set");
  if ((flags >> 3 & 3) == 3) c.malformed("the will's QoS is 3");
  if (!has_will && (flags & 0x38) != 0) c.malformed("will flags without a will");
  if (version == Version::v311 && (flags & 0x40) != 0 && (flags & 0x80) == 0)
    c.malformed("a password without a user name");
}

}  // namespace

std::optional<Connect> decode_connect(const Frame& frame, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Connect packet;
  if (!read_protocol(c, packet)) return std::nullopt;
  const std::uint8_t flags = c.u8("connect flags");
  check_connect_flags(c, flags, packet.version);
  packet.clean_start = (flags & 0x02) != 0;
  packet.keep_alive_seconds = c.u16("keep alive");
  packet.properties = read_properties(c, packet.version, in_connect);
  packet.client_id = c.text("client identifier");
  if ((flags & 0x04) != 0) packet.will = read_will(c, packet.version, flags);
  if ((flags & 0x80) != 0) packet.username = c.text("user name");
  if ((flags & 0x40) != 0) packet.password = c.binary("password");
  if (!c.failed() && packet.properties.authentication_data && !packet.properties.authentication_method) {
    c.fail(reason::protocol_error, "authentication data without a method");
  }
  return c.finish(std::move(packet));
}

std::optional<Connack> decode_connack(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Connack packet;
  const std::uint8_t flags = c.u8("acknowledge flags");
  if (flags > 1) c.malformed("reserved acknowledge flags are set");
  packet.session_present = flags == 1;
  packet.code = c.u8("return code");
  packet.properties = read_properties(c, version, in_connack);
  return c.finish(std::move(packet));
}

}  // namespace fleetward::mqtt
