#include "mqtt/encode.hpp"

namespace fleetward::mqtt {
namespace {

void put_u8(std::string& out, unsigned value) { out += static_cast<char>(value); }
void put_u16(std::string& out, std::uint16_t value) {
  put_u8(out, value >> 8);
  put_u8(out, value & 0xFF);
}
void put_u32(std::string& out, std::uint32_t value) {
  put_u16(out, static_cast<std::uint16_t>(value >> 16));
  put_u16(out, static_cast<std::uint16_t>(value & 0xFFFF));
}
void put_variable(std::string& out, std::size_t value) {
  do {
    const unsigned b = value & 0x7F;
    value >>= 7;
    put_u8(out, value > 0 ? b | 0x80 : b);
  } while (value > 0);
}
void put_text(std::string& out, std::string_view text) {
  text = text.substr(0, 65'535);
  put_u16(out, static_cast<std::uint16_t>(text.size()));
  out += text;
}

std::string packet(PacketType type, unsigned flags, std::string_view body) {
  std::string out;
  out.reserve(body.size() + 5);
  put_u8(out, static_cast<unsigned>(type) << 4 | flags);
  put_variable(out, body.size());
  out += body;
  return out;
}

void put_properties(std::string& body, std::string_view properties) {
  put_variable(body, properties.size());
  body += properties;
}

void put_u16_property(std::string& p, unsigned id, std::uint16_t value) {
  put_u8(p, id);
  put_u16(p, value);
}
void put_u32_property(std::string& p, unsigned id, std::uint32_t value) {
  put_u8(p, id);
  put_u32(p, value);
}
void put_text_property(std::string& p, unsigned id, std::string_view text) {
  put_u8(p, id);
  put_text(p, text);
}

std::string connack_properties(const ConnackOptions& o) {
  std::string p;
  if (o.session_expiry_interval) put_u32_property(p, 0x11, *o.session_expiry_interval);
  if (o.receive_maximum != 0) put_u16_property(p, 0x21, o.receive_maximum);
  if (o.reason_code == reason::success) {
    for (const unsigned not_available : {0x25U, 0x28U, 0x29U, 0x2AU}) {
      put_u8(p, not_available);
      put_u8(p, 0);
    }
  }
  if (o.maximum_packet_size != 0) put_u32_property(p, 0x27, o.maximum_packet_size);
  if (!o.assigned_client_id.empty()) put_text_property(p, 0x12, o.assigned_client_id);
  if (o.topic_alias_maximum != 0) put_u16_property(p, 0x22, o.topic_alias_maximum);
  if (!o.reason_string.empty()) put_text_property(p, 0x1F, o.reason_string);
  for (const auto& [name, value] : o.user) {
    put_text_property(p, 0x26, name);
    put_text(p, value);
  }
  if (o.server_keep_alive) put_u16_property(p, 0x13, *o.server_keep_alive);
  return p;
}

std::string codes_packet(PacketType type, Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes,
                         bool codes_in_311) {
  std::string body;
  put_u16(body, packet_id);
  if (version == Version::v5) put_properties(body, {});
  if (version == Version::v5 || codes_in_311) {
    for (const std::uint8_t code : codes) put_u8(body, version == Version::v5 || code < 0x80 ? code : 0x80U);
  }
  return packet(type, 0, body);
}

std::string connect_properties(const ConnectOptions& o) {
  std::string p;
  if (o.session_expiry_seconds != 0) put_u32_property(p, 0x11, o.session_expiry_seconds);
  if (o.receive_maximum != 0) put_u16_property(p, 0x21, o.receive_maximum);
  if (o.maximum_packet_size != 0) put_u32_property(p, 0x27, o.maximum_packet_size);
  return p;
}

unsigned connect_flags(const ConnectOptions& o) {
  return (o.clean_start ? 0x02U : 0U) | (o.username ? 0x80U : 0U) | (o.password ? 0x40U : 0U);
}

}  // namespace

std::string encode_connack(Version version, const ConnackOptions& o) {
  std::string body;
  put_u8(body, 0);  // session present
  put_u8(body, version == Version::v5 ? o.reason_code : connack_code_311(o.reason_code));
  if (version == Version::v5) put_properties(body, connack_properties(o));
  return packet(PacketType::connack, 0, body);
}

std::string encode_acknowledgement(PacketType type, Version version, std::uint16_t packet_id, std::uint8_t reason_code,
                                   std::string_view reason_string) {
  std::string body;
  put_u16(body, packet_id);
  if (version == Version::v5 && (reason_code != reason::success || !reason_string.empty())) {
    put_u8(body, reason_code);
    if (!reason_string.empty()) {
      std::string properties;
      put_text_property(properties, 0x1F, reason_string);
      put_properties(body, properties);
    }
  }
  return packet(type, type == PacketType::pubrel ? 2 : 0, body);
}

std::string encode_suback(Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes) {
  return codes_packet(PacketType::suback, version, packet_id, codes, true);
}
std::string encode_unsuback(Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes) {
  return codes_packet(PacketType::unsuback, version, packet_id, codes, false);
}
std::string encode_pingresp() { return packet(PacketType::pingresp, 0, {}); }
std::string encode_pingreq() { return packet(PacketType::pingreq, 0, {}); }

std::string encode_connect(const ConnectOptions& o) {
  std::string body;
  put_text(body, "MQTT");
  put_u8(body, static_cast<unsigned>(o.version));
  put_u8(body, connect_flags(o));
  put_u16(body, o.keep_alive_seconds);
  if (o.version == Version::v5) put_properties(body, connect_properties(o));
  put_text(body, o.client_id);
  if (o.username) put_text(body, *o.username);
  if (o.password) put_text(body, *o.password);
  return packet(PacketType::connect, 0, body);
}

std::string encode_subscribe(Version version, std::uint16_t packet_id, std::string_view filter, std::uint8_t qos) {
  std::string body;
  put_u16(body, packet_id);
  if (version == Version::v5) put_properties(body, {});
  put_text(body, filter);
  put_u8(body, qos);
  return packet(PacketType::subscribe, 2, body);
}

std::string encode_publish(Version version, std::string_view topic, std::string_view payload, std::uint8_t qos,
                           std::uint16_t packet_id, bool dup) {
  std::string body;
  body.reserve(topic.size() + payload.size() + 8);
  put_text(body, topic);
  if (qos > 0) put_u16(body, packet_id);
  if (version == Version::v5) put_properties(body, {});
  body += payload;
  return packet(PacketType::publish, (dup ? 8U : 0U) | unsigned{qos} << 1, body);
}

std::string encode_disconnect(Version version, std::uint8_t reason_code, std::string_view reason_string) {
  std::string body;
  if (version == Version::v5 && (reason_code != reason::success || !reason_string.empty())) {
    put_u8(body, reason_code);
    std::string properties;
    if (!reason_string.empty()) {
      put_text_property(properties, 0x1F, reason_string);
    }
    put_properties(body, properties);
  }
  return packet(PacketType::disconnect, 0, body);
}

}  // namespace fleetward::mqtt
