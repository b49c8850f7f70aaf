// Packets to bytes, both directions: what a server says, and what a client (simulator, probe) says. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

struct ConnackOptions {
  std::uint8_t reason_code = 0;
  std::uint16_t receive_maximum = 0;      // 0: left out
  std::uint32_t maximum_packet_size = 0;  // 0: left out
  std::optional<std::uint16_t> server_keep_alive;
  std::string_view reason_string;
  std::vector<std::pair<std::string, std::string>> user;
};
// In 5 it also announces Maximum QoS 1, no retain, no wildcard, shared or identified subscriptions, no topic aliases.
std::string encode_connack(Version version, const ConnackOptions& options);
std::string encode_puback(Version version, std::uint16_t packet_id, std::uint8_t reason_code = 0);
std::string encode_suback(Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes);
std::string encode_unsuback(Version version, std::uint16_t packet_id, std::span<const std::uint8_t> codes);
std::string encode_pingresp();

struct ConnectOptions {
  Version version = Version::v5;
  std::string_view client_id;
  std::uint16_t keep_alive_seconds = 60;
  bool clean_start = true;
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
