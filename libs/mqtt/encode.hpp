// Packets to bytes, both directions: what a server says, and what a client (simulator, probe) says. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

// Section 3.2. What is empty or 0 is left out; 3.1.1 gets the two bytes alone.
struct ConnackOptions {
  std::uint8_t reason_code = 0;
  std::uint16_t receive_maximum = 0;
  std::uint16_t topic_alias_maximum = 0;
  std::uint32_t maximum_packet_size = 0;
  std::optional<std::uint16_t> server_keep_alive;
  std::optional<std::uint32_t> session_expiry_interval;
  std::string_view assigned_client_id;
  std::string_view reason_string;
  std::vector<std::pair<std::string, std::string>> user;
};
// On success it also announces what there is not: retain, wildcard, shared and identified subscriptions. Maximum QoS is
// left out, which means 2 (section 3.2.2.3.4).
std::string encode_connack(Version version, const ConnackOptions& options);
// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7); code and reason string in 5 only.
std::string encode_acknowledgement(PacketType type, Version version, std::uint16_t packet_id,
                                   std::uint8_t reason_code = 0, std::string_view reason_string = {});
// Sections 3.9 and 3.11: a code for each filter, in their order.
std::string encode_suback(Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes);
std::string encode_unsuback(Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes);
std::string encode_pingresp();

// What a client says.
struct ConnectOptions {
  Version version = Version::v5;
  std::string_view client_id;
  std::uint16_t keep_alive_seconds = 60;
  bool clean_start = true;
  std::optional<std::string_view> username, password;
  // 5 only; what is 0 is left out.
  std::uint32_t session_expiry_seconds = 0;
  std::uint16_t receive_maximum = 0;
  std::uint32_t maximum_packet_size = 0;
};
std::string encode_connect(const ConnectOptions& options);
std::string encode_subscribe(Version version, std::uint16_t packet_id, std::string_view filter, std::uint8_t qos);
std::string encode_pingreq();

// Both ends.
std::string encode_publish(Version version, std::string_view topic, std::string_view payload, std::uint8_t qos,
                           std::uint16_t packet_id, bool dup = false);
// 3.1.1 has DISCONNECT from clients only, and without a reason.
std::string encode_disconnect(Version version, std::uint8_t reason_code, std::string_view reason_string = {});

}  // namespace fleetward::mqtt
