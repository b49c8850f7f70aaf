#include "mqtt/reason.hpp"

#include <algorithm>
#include <span>

namespace fleetward::mqtt {
namespace {

using Codes = std::span<const std::uint8_t>;

constexpr std::uint8_t connack_codes[] = {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
                                          0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F};
constexpr std::uint8_t receipt_codes[] = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
constexpr std::uint8_t release_codes[] = {0x00, 0x92};
constexpr std::uint8_t suback_codes[] = {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2};
constexpr std::uint8_t unsuback_codes[] = {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91};
constexpr std::uint8_t client_disconnect_codes[] = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90,
                                                    0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99};
// 0x8C stands in the overview (table 2-6) for DISCONNECT too, but not in its own table.
constexpr std::uint8_t server_disconnect_codes[] = {0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E,
                                                    0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A,
                                                    0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2};

Codes codes_of(PacketType packet, Sender sender) {
  switch (packet) {
    case PacketType::connack:
      return connack_codes;
    case PacketType::puback:
    case PacketType::pubrec:
      return receipt_codes;
    case PacketType::pubrel:
    case PacketType::pubcomp:
      return release_codes;
    case PacketType::suback:
      return suback_codes;
    case PacketType::unsuback:
      return unsuback_codes;
    case PacketType::disconnect:
      return sender == Sender::client ? Codes(client_disconnect_codes) : Codes(server_disconnect_codes);
    default:
      return {};
  }
}

}  // namespace

bool may_carry(PacketType packet, Sender sender, std::uint8_t reason_code) {
  const Codes codes = codes_of(packet, sender);
  return std::find(codes.begin(), codes.end(), reason_code) != codes.end();
}

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
    case reason::connection_rate_exceeded:
      return 3;
    default:
      return 5;
  }
}

}  // namespace fleetward::mqtt
