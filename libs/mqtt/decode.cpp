#include "mqtt/decode.hpp"

#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

// Reads fields in order and remembers the first failure; after it every read gives zero values.
class Cursor {
 public:
  Cursor(ByteView bytes, Failure& failure) : rest_(bytes), failure_(failure) {}

  [[nodiscard]] bool failed() const { return failure_.reason_code != reason::success; }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }
  [[nodiscard]] ByteView rest() const { return rest_; }

  void fail(std::uint8_t code, std::string text) {
    if (!failed()) failure_ = {code, std::move(text)};
    rest_ = {};
  }
  void malformed(std::string text) { fail(reason::malformed_packet, std::move(text)); }

  std::uint8_t u8(std::string_view what) {
    const ByteView b = take(1, what);
    return b.empty() ? std::uint8_t{0} : b[0];
  }
  std::uint16_t u16(std::string_view what) {
    const ByteView b = take(2, what);
    return b.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(b[0] << 8 | b[1]);
  }
  std::uint32_t u32(std::string_view what) {
    const ByteView b = take(4, what);
    if (b.empty()) return 0;
    return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
  }
  std::uint32_t variable(std::string_view what) {
    std::uint32_t value = 0;
    for (int shift = 0; shift < 28; shift += 7) {
      const std::uint8_t b = u8(what);
      value |= std::uint32_t{b & 0x7FU} << shift;
      if ((b & 0x80) == 0) {
        if (shift > 0 && b == 0) malformed(fmt::format("{} is encoded too long", what));
        return value;
      }
    }
    malformed(fmt::format("{} has more than four bytes", what));
    return 0;
  }
  ByteView binary(std::string_view what) { return take(u16(what), what); }
  std::string_view text(std::string_view what) {
    const std::string_view t = as_text(binary(what));
    if (!is_utf8(t) || t.find('\0') != std::string_view::npos)
      malformed(fmt::format("{} is not well-formed UTF-8", what));
    return failed() ? std::string_view() : t;
  }
  ByteView take(std::size_t n, std::string_view what) {
    if (n > rest_.size()) {
      malformed(fmt::format("{} is cut short", what));
      return {};
    }
    const ByteView taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }
  void end() {
    if (!failed() && !rest_.empty()) malformed("bytes after the end of the packet");
  }
  Failure& failure() { return failure_; }

 private:
  ByteView rest_;
  Failure& failure_;
};

// Where a property may stand (table 2-4); will_properties is a place of its own.
enum Place : std::uint32_t {
  in_connect = 1,
  in_will = 2,
  in_connack = 4,
  in_publish = 8,
  in_subscribe = 16,
  in_disconnect = 32,
  in_ack = 64,
  in_unsubscribe = 128,
};

template <class T>
void once(Cursor& c, std::optional<T>& field, T value, std::string_view name) {
  if (field) return c.fail(reason::protocol_error, fmt::format("property {} is there twice", name));
  field = value;
}

void flag(Cursor& c, std::optional<std::uint8_t>& field, std::string_view name) {
  const std::uint8_t value = c.u8(name);
  if (value > 1) return c.fail(reason::protocol_error, fmt::format("property {} is neither 0 nor 1", name));
  once(c, field, value, name);
}

void not_zero(Cursor& c, std::uint32_t value, std::string_view name) {
  if (value == 0) c.fail(reason::protocol_error, fmt::format("property {} is zero", name));
}

void user_property(Cursor& c, Properties& p) {
  const UserProperty pair{c.text("user property name"), c.text("user property value")};
  if (p.user.size() >= user_properties_max) return c.fail(reason::quota_exceeded, "too many user properties");
  p.user.push_back(pair);
}

// True when the identifier is known and may stand here; then its value was read.
bool property(Cursor& c, std::uint32_t id, std::uint32_t place, Properties& p) {
  const auto in = [place](std::uint32_t places) { return (place & places) != 0; };
  switch (id) {
    case 0x01:
      flag(c, p.payload_format_indicator, "payload format indicator");
      return in(in_publish | in_will);
    case 0x02:
      once(c, p.message_expiry_interval, c.u32("message expiry"), "message expiry");
      return in(in_publish | in_will);
    case 0x03:
      once(c, p.content_type, c.text("content type"), "content type");
      return in(in_publish | in_will);
    case 0x08:
      once(c, p.response_topic, c.text("response topic"), "response topic");
      return in(in_publish | in_will);
    case 0x09:
      once(c, p.correlation_data, c.binary("correlation data"), "correlation data");
      return in(in_publish | in_will);
    case 0x0B:
      once(c, p.subscription_identifier, c.variable("subscription identifier"), "subscription identifier");
      not_zero(c, p.subscription_identifier.value_or(1), "subscription identifier");
      return in(in_publish | in_subscribe);
    case 0x11:
      once(c, p.session_expiry_interval, c.u32("session expiry"), "session expiry");
      return in(in_connect | in_connack | in_disconnect);
    case 0x12:
      once(c, p.assigned_client_identifier, c.text("assigned id"), "assigned id");
      return in(in_connack);
    case 0x13:
      once(c, p.server_keep_alive, c.u16("server keep alive"), "server keep alive");
      return in(in_connack);
    case 0x15:
      once(c, p.authentication_method, c.text("authentication method"), "authentication method");
      return in(in_connect | in_connack);
    case 0x16:
      once(c, p.authentication_data, c.binary("authentication data"), "authentication data");
      return in(in_connect | in_connack);
    case 0x17:
      flag(c, p.request_problem_information, "request problem information");
      return in(in_connect);
    case 0x18:
      once(c, p.will_delay_interval, c.u32("will delay"), "will delay");
      return in(in_will);
    case 0x19:
      flag(c, p.request_response_information, "request response information");
      return in(in_connect);
    case 0x1A:
      once(c, p.response_information, c.text("response information"), "response information");
      return in(in_connack);
    case 0x1C:
      once(c, p.server_reference, c.text("server reference"), "server reference");
      return in(in_connack | in_disconnect);
    case 0x1F:
      once(c, p.reason_string, c.text("reason string"), "reason string");
      return in(in_connack | in_ack | in_disconnect);
    case 0x21:
      once(c, p.receive_maximum, c.u16("receive maximum"), "receive maximum");
      not_zero(c, p.receive_maximum.value_or(1), "receive maximum");
      return in(in_connect | in_connack);
    case 0x22:
      once(c, p.topic_alias_maximum, c.u16("topic alias maximum"), "topic alias maximum");
      return in(in_connect | in_connack);
    case 0x23:
      once(c, p.topic_alias, c.u16("topic alias"), "topic alias");
      return in(in_publish);
    case 0x24:
      flag(c, p.maximum_qos, "maximum QoS");
      return in(in_connack);
    case 0x25:
      flag(c, p.retain_available, "retain available");
      return in(in_connack);
    case 0x26:
      user_property(c, p);
      return true;
    case 0x27:
      once(c, p.maximum_packet_size, c.u32("maximum packet size"), "maximum packet size");
      not_zero(c, p.maximum_packet_size.value_or(1), "maximum packet size");
      return in(in_connect | in_connack);
    case 0x28:
      flag(c, p.wildcard_available, "wildcard available");
      return in(in_connack);
    case 0x29:
      flag(c, p.subscription_id_available, "subscription id available");
      return in(in_connack);
    case 0x2A:
      flag(c, p.shared_available, "shared available");
      return in(in_connack);
    default:
      return false;
  }
}

Properties properties(Cursor& c, Version version, Place place) {
  Properties p;
  if (version != Version::v5) return p;
  const std::uint32_t length = c.variable("property length");
  Cursor inner(c.take(length, "properties"), c.failure());
  while (!inner.failed() && inner.left() > 0) {
    const std::uint32_t id = inner.variable("property identifier");
    if (!property(inner, id, place, p) && !inner.failed())
      inner.malformed(fmt::format("property {:#04x} may not stand here", id));
  }
  return p;
}

std::uint16_t packet_id(Cursor& c) {
  const std::uint16_t id = c.u16("packet identifier");
  if (!c.failed() && id == 0) c.fail(reason::protocol_error, "packet identifier is zero");
  return id;
}

Will will(Cursor& c, Version version, std::uint8_t flags) {
  Will w;
  w.qos = flags >> 3 & 3;
  w.retain = (flags & 0x20) != 0;
  w.properties = properties(c, version, in_will);
  w.topic = c.text("will topic");
  w.payload = c.binary("will payload");
  if (!c.failed() && !is_topic_name(w.topic))
    c.fail(reason::topic_name_invalid, "the will's topic is not a topic name");
  return w;
}

bool protocol_of(Cursor& c, Connect& packet) {
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

bool expect_flags(const Frame& frame, std::uint8_t flags, Failure& failure) {
  if (frame.flags == flags) return true;
  failure = {reason::malformed_packet, "reserved header flags are wrong"};
  return false;
}

template <class T>
std::optional<T> finish(Cursor& c, T packet) {
  c.end();
  return c.failed() ? std::nullopt : std::optional<T>(std::move(packet));
}

}  // namespace

std::uint8_t connack_code_311(std::uint8_t code) {
  switch (code) {
    case reason::success:
      return 0;
    case reason::unsupported_protocol_version:
      return 1;
    case reason::client_identifier_not_valid:
      return 2;
    case reason::server_unavailable:
    case reason::server_busy:
      return 3;
    default:
      return 5;
  }
}

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
    if ((b & 0x80) == 0) break;
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

std::optional<Connect> decode_connect(const Frame& frame, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Connect packet;
  if (!protocol_of(c, packet)) return std::nullopt;
  const std::uint8_t flags = c.u8("connect flags");
  check_connect_flags(c, flags, packet.version);
  packet.clean_start = (flags & 0x02) != 0;
  packet.keep_alive_seconds = c.u16("keep alive");
  packet.properties = properties(c, packet.version, in_connect);
  packet.client_id = c.text("client identifier");
  if ((flags & 0x04) != 0) packet.will = will(c, packet.version, flags);
  if ((flags & 0x80) != 0) packet.username = c.text("user name");
  if ((flags & 0x40) != 0) packet.password = c.binary("password");
  if (!c.failed() && packet.properties.authentication_data && !packet.properties.authentication_method) {
    c.fail(reason::protocol_error, "authentication data without a method");
  }
  return finish(c, std::move(packet));
}

std::optional<Connack> decode_connack(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Connack packet;
  const std::uint8_t flags = c.u8("acknowledge flags");
  if (flags > 1) c.malformed("reserved acknowledge flags are set");
  packet.session_present = flags == 1;
  packet.code = c.u8("return code");
  packet.properties = properties(c, version, in_connack);
  return finish(c, std::move(packet));
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
  if (packet.qos > 0) packet.packet_id = packet_id(c);
  packet.properties = properties(c, version, in_publish);
  if (!c.failed() && packet.properties.subscription_identifier) {
    c.fail(reason::protocol_error, "a subscription identifier from a client");
  }
  if (!c.failed() && packet.topic.empty() && !packet.properties.topic_alias) c.fail(reason::protocol_error, "no topic");
  if (!c.failed() && !packet.topic.empty() && !is_topic_name(packet.topic)) {
    c.fail(reason::topic_name_invalid, "wildcards in a topic name");
  }
  if (!c.failed() && packet.properties.response_topic && !is_topic_name(*packet.properties.response_topic)) {
    c.fail(reason::protocol_error, "wildcards in a response topic");
  }
  packet.payload = c.rest();
  packet.original = frame.whole;
  if (c.failed()) return std::nullopt;
  return packet;
}

std::optional<Acknowledgement> decode_acknowledgement(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, frame.type == PacketType::pubrel ? 2 : 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Acknowledgement packet;
  packet.packet_id = packet_id(c);
  if (version == Version::v5 && c.left() > 0) {
    packet.reason_code = c.u8("reason code");
    if (c.left() > 0) properties(c, version, in_ack);
  }
  return finish(c, packet);
}

std::optional<Subscribe> decode_subscribe(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 2, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Subscribe packet;
  packet.packet_id = packet_id(c);
  packet.properties = properties(c, version, in_subscribe);
  while (!c.failed() && c.left() > 0) {
    const std::string_view filter = c.text("topic filter");
    const std::uint8_t options = c.u8("subscription options");
    const bool reserved =
        version == Version::v5 ? (options & 0xC0) != 0 || (options >> 4 & 3) == 3 : (options & 0xFC) != 0;
    if (reserved || (options & 3) == 3) c.malformed("reserved subscription options are set");
    packet.requests.push_back({filter, static_cast<std::uint8_t>(options & 3)});
  }
  if (!c.failed() && packet.requests.empty()) c.fail(reason::protocol_error, "a SUBSCRIBE without filters");
  return finish(c, std::move(packet));
}

std::optional<Unsubscribe> decode_unsubscribe(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 2, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Unsubscribe packet;
  packet.packet_id = packet_id(c);
  properties(c, version, in_unsubscribe);
  while (!c.failed() && c.left() > 0) packet.filters.push_back(c.text("topic filter"));
  if (!c.failed() && packet.filters.empty()) c.fail(reason::protocol_error, "an UNSUBSCRIBE without filters");
  return finish(c, std::move(packet));
}

std::optional<Disconnect> decode_disconnect(const Frame& frame, Version version, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return std::nullopt;
  Cursor c(frame.body, failure);
  Disconnect packet;
  if (version == Version::v5 && c.left() > 0) {
    packet.reason_code = c.u8("reason code");
    if (c.left() > 0) packet.properties = properties(c, version, in_disconnect);
  }
  return finish(c, std::move(packet));
}

bool decode_empty(const Frame& frame, Failure& failure) {
  if (!expect_flags(frame, 0, failure)) return false;
  if (frame.body.empty()) return true;
  failure = {reason::malformed_packet, "a ping with a body"};
  return false;
}

}  // namespace fleetward::mqtt
