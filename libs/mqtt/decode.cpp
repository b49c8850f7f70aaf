#include "mqtt/decode.hpp"

#include "mqtt/properties.hpp"
#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

// Section 3.8.3.1; in 3.1.1 everything but the QoS is reserved.
void read_options(Cursor& c, Version version, SubscriptionRequest& request) {
  const std::uint8_t options = c.u8("subscription options");
  request.qos = options & 3;
  if (version == Version::v311) {
    if ((options & 0xFC) != 0 || request.qos == 3) c.malformed("reserved subscription options are set");
    return;
  }
  request.no_local = (options & 4) != 0;
  request.retain_as_published = (options & 8) != 0;
  request.retain_handling = options >> 4 & 3;
  if ((options & 0xC0) != 0) c.malformed("reserved subscription options are set");
  if (request.qos == 3) c.fail(reason::protocol_error, "QoS 3 in a subscription");
  if (request.retain_handling == 3) c.fail(reason::protocol_error, "retain handling 3");
}

// Sections 3.14.2.1, 3.4.2.1 and so on: left out it is success; one that may not stand there is a protocol error.
std::uint8_t read_reason(Cursor& c, const Frame& frame) {
  const std::uint8_t code = c.u8("reason code");
  // Both ends decode with this: what either may send is good.
  const bool known = may_carry(frame.type, Sender::client, code) || may_carry(frame.type, Sender::server, code);
  if (!c.failed() && !known)
    c.fail(reason::protocol_error, fmt::format("reason code {:#04x} may not stand here", code));
  return code;
}

void check_publish(Cursor& c, const Publish& packet) {
  if (c.failed()) return;
  const Properties& p = packet.properties;
  if (p.subscription_identifier) return c.fail(reason::protocol_error, "a subscription identifier from a client");
  if (packet.topic.empty() && !p.topic_alias) return c.fail(reason::protocol_error, "no topic");
  if (!packet.topic.empty() && !is_topic_name(packet.topic))
    c.fail(reason::topic_name_invalid, "wildcards in a topic name");
}

}  // namespace

std::optional<Frame> next_frame(ByteView bytes, std::size_t bytes_max, Failure& failure) {
  if (bytes.empty()) return std::nullopt;
  const std::uint8_t type = bytes[0] >> 4;
  if (type == 0) {
    failure = {reason::malformed_packet, "packet type 0"};
    return std::nullopt;
  }
  std::size_t length = 0;
  std::size_t header = 1;
  for (int shift = 0;; shift += 7) {
    if (header >= bytes.size()) return std::nullopt;
    const std::uint8_t b = bytes[header++];
    length |= std::size_t{b & 0x7FU} << shift;
    if ((b & 0x80) == 0) break;  // padded with zeros, too: 3.1.1 does not forbid it, and small clients do so
    if (shift == 21) {
      failure = {reason::malformed_packet, "the remaining length has more than four bytes"};
      return std::nullopt;
    }
  }
  if (header + length > bytes_max) {
    failure = {reason::packet_too_large,
               fmt::format("a packet of {} bytes, allowed are {}", header + length, bytes_max)};
    return std::nullopt;
  }
  if (header + length > bytes.size()) return std::nullopt;
  return Frame{static_cast<PacketType>(type), static_cast<std::uint8_t>(bytes[0] & 0x0F), bytes.subspan(header, length),
               bytes.first(header + length)};
}

std::optional<Publish> decode_publish(const Frame& frame, Version version, Failure& failure) {
  Cursor c(frame.body, failure);
  Publish packet;
  packet.dup = (frame.flags & 8) != 0;
  packet.qos = frame.flags >> 1 & 3;
  packet.retain = (frame.flags & 1) != 0;
  if (packet.qos == 3) c.malformed("QoS 3");
  if (packet.qos == 0 && packet.dup) c.malformed("DUP with QoS 0");
  packet.topic = c.text("topic");
  if (packet.qos > 0) packet.packet_id = c.packet_id();
  packet.properties = read_properties(c, version, in_publish);
  check_publish(c, packet);
  packet.payload = c.rest();
  packet.original = frame.whole;
  if (c.failed()) return std::nullopt;
  return packet;
}

std::optional<Acknowledgement> decode_acknowledgement(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, frame.type == PacketType::pubrel ? 2 : 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Acknowledgement packet;
  packet.packet_id = c.packet_id();
  if (version == Version::v5 && c.has_more()) packet.reason_code = read_reason(c, frame);
  if (version == Version::v5 && c.has_more()) packet.properties = read_properties(c, version, in_receipt);
  return c.finish(std::move(packet));
}

std::optional<Subscribe> decode_subscribe(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 2, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Subscribe packet;
  packet.packet_id = c.packet_id();
  packet.properties = read_properties(c, version, in_subscribe);
  while (c.has_more()) {
    SubscriptionRequest request;
    request.filter = c.text("topic filter");
    read_options(c, version, request);
    if (packet.requests.size() >= filters_max) c.fail(reason::quota_exceeded, "too many filters in a packet");
    packet.requests.push_back(request);
  }
  if (!c.failed() && packet.requests.empty()) c.fail(reason::protocol_error, "a SUBSCRIBE without filters");
  return c.finish(std::move(packet));
}

std::optional<Suback> decode_suback(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Suback packet;
  packet.packet_id = c.packet_id();
  packet.properties = read_properties(c, version, in_receipt);
  while (c.has_more()) {
    const std::uint8_t code = c.u8("reason code");
    if (!may_carry(PacketType::suback, Sender::server, code))
      c.fail(reason::protocol_error, fmt::format("reason code {:#04x} may not stand here", code));
    if (packet.codes.size() >= filters_max) c.fail(reason::quota_exceeded, "too many codes in a packet");
    packet.codes.push_back(code);
  }
  if (!c.failed() && packet.codes.empty()) c.fail(reason::protocol_error, "a SUBACK without codes");
  return c.finish(std::move(packet));
}

std::optional<Unsubscribe> decode_unsubscribe(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 2, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Unsubscribe packet;
  packet.packet_id = c.packet_id();
  packet.properties = read_properties(c, version, in_unsubscribe);
  while (c.has_more()) {
    if (packet.filters.size() >= filters_max) c.fail(reason::quota_exceeded, "too many filters in a packet");
    packet.filters.push_back(c.text("topic filter"));
  }
  if (!c.failed() && packet.filters.empty()) c.fail(reason::protocol_error, "an UNSUBSCRIBE without filters");
  return c.finish(std::move(packet));
}

std::optional<Disconnect> decode_disconnect(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Disconnect packet;
  if (version == Version::v5 && c.has_more()) packet.reason_code = read_reason(c, frame);
  if (version == Version::v5 && c.has_more()) packet.properties = read_properties(c, version, in_disconnect);
  return c.finish(std::move(packet));
}

std::optional<Auth> decode_auth(const Frame& frame, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Auth packet;
  // An AUTH without a body is one with code 0 and no properties (section 3.15.2.1).
  if (c.has_more()) {
    packet.reason_code = c.u8("reason code");
    packet.properties = read_properties(c, Version::v5, in_auth);
  }
  const bool known = packet.reason_code == 0x00 || packet.reason_code == 0x18 || packet.reason_code == 0x19;
  if (!c.failed() && !known) c.fail(reason::protocol_error, "an unknown reason code in an AUTH");
  return c.finish(std::move(packet));
}

bool decode_empty(const Frame& frame, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return false;
  if (frame.body.empty()) return true;
  failure = {reason::malformed_packet, "a ping with a body"};
  return false;
}

}  // namespace fleetward::mqtt
