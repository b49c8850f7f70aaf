// Reason codes of MQTT 5 (section 2.4), which packet may carry which, and what 3.1.1 says instead. Pure, thread-safe.
#pragma once

#include <cstdint>

namespace fleetward::mqtt {

enum class PacketType : std::uint8_t {
  connect = 1,
  connack,
  publish,
  puback,
  pubrec,
  pubrel,
  pubcomp,
  subscribe,
  suback,
  unsubscribe,
  unsuback,
  pingreq,
  pingresp,
  disconnect,
  auth,
};

namespace reason {
constexpr std::uint8_t success = 0x00;
constexpr std::uint8_t granted_qos_1 = 0x01;
constexpr std::uint8_t disconnect_with_will = 0x04;
constexpr std::uint8_t no_matching_subscribers = 0x10;
constexpr std::uint8_t no_subscription_existed = 0x11;
constexpr std::uint8_t unspecified_error = 0x80;
constexpr std::uint8_t malformed_packet = 0x81;
constexpr std::uint8_t protocol_error = 0x82;
constexpr std::uint8_t implementation_specific_error = 0x83;
constexpr std::uint8_t unsupported_protocol_version = 0x84;
constexpr std::uint8_t client_identifier_not_valid = 0x85;
constexpr std::uint8_t not_authorized = 0x87;
constexpr std::uint8_t server_unavailable = 0x88;
constexpr std::uint8_t server_busy = 0x89;
constexpr std::uint8_t banned = 0x8A;
constexpr std::uint8_t server_shutting_down = 0x8B;
constexpr std::uint8_t bad_authentication_method = 0x8C;
constexpr std::uint8_t keep_alive_timeout = 0x8D;
constexpr std::uint8_t session_taken_over = 0x8E;
constexpr std::uint8_t topic_filter_invalid = 0x8F;
constexpr std::uint8_t topic_name_invalid = 0x90;
constexpr std::uint8_t packet_identifier_in_use = 0x91;
constexpr std::uint8_t packet_identifier_not_found = 0x92;
constexpr std::uint8_t receive_maximum_exceeded = 0x93;
constexpr std::uint8_t topic_alias_invalid = 0x94;
constexpr std::uint8_t packet_too_large = 0x95;
constexpr std::uint8_t message_rate_too_high = 0x96;
constexpr std::uint8_t quota_exceeded = 0x97;
constexpr std::uint8_t administrative_action = 0x98;
constexpr std::uint8_t payload_format_invalid = 0x99;
constexpr std::uint8_t retain_not_supported = 0x9A;
constexpr std::uint8_t qos_not_supported = 0x9B;
constexpr std::uint8_t shared_subscriptions_not_supported = 0x9E;
constexpr std::uint8_t connection_rate_exceeded = 0x9F;
constexpr std::uint8_t subscription_identifiers_not_supported = 0xA1;
constexpr std::uint8_t wildcard_subscriptions_not_supported = 0xA2;
}  // namespace reason

enum class Sender { client, server };

// Whether that packet of that sender may carry the code (the tables of sections 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.6.2.1,
// 3.7.2.1, 3.9.3, 3.11.3 and 3.14.2.1). False for packets that have no reason code.
bool may_carry(PacketType packet, Sender sender, std::uint8_t reason_code);

// CONNACK return code of 3.1.1 (section 3.2.2.3) for a reason code of 5.
std::uint8_t connack_code_311(std::uint8_t reason_code);

}  // namespace fleetward::mqtt
