// MQTT 3.1.1 and 5.0 control packets as values, decoded without copying: views into the bytes they came in.
//
// Pure and thread-safe. Section numbers are those of the OASIS specifications.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/text.hpp"

namespace fleetward::mqtt {

enum class Version : std::uint8_t { v311 = 4, v5 = 5 };

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

// Reason codes of MQTT 5 (section 2.4) that we use.
namespace reason {
constexpr std::uint8_t success = 0x00;
constexpr std::uint8_t granted_qos_1 = 0x01;
constexpr std::uint8_t no_subscription_existed = 0x11;
constexpr std::uint8_t unspecified_error = 0x80;
constexpr std::uint8_t malformed_packet = 0x81;
constexpr std::uint8_t protocol_error = 0x82;
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
constexpr std::uint8_t receive_maximum_exceeded = 0x93;
constexpr std::uint8_t topic_alias_invalid = 0x94;
constexpr std::uint8_t packet_too_large = 0x95;
constexpr std::uint8_t quota_exceeded = 0x97;
constexpr std::uint8_t administrative_action = 0x98;
constexpr std::uint8_t payload_format_invalid = 0x99;
constexpr std::uint8_t retain_not_supported = 0x9A;
constexpr std::uint8_t qos_not_supported = 0x9B;
constexpr std::uint8_t shared_subscriptions_not_supported = 0x9E;
constexpr std::uint8_t subscription_identifiers_not_supported = 0xA1;
constexpr std::uint8_t wildcard_subscriptions_not_supported = 0xA2;
}  // namespace reason

// CONNACK return code of 3.1.1 (section 3.2.2.3) for a reason code of 5.
std::uint8_t connack_code_311(std::uint8_t reason_code);

// Why bytes were refused: the reason code that answers them, and words for the log.
struct Failure {
  std::uint8_t reason_code = reason::success;
  std::string text;
};

struct UserProperty {
  std::string_view name;
  std::string_view value;
};

// Properties of MQTT 5 (section 2.2.2.2); which may stand in which packet is checked by the decoder.
struct Properties {
  std::optional<std::uint32_t> session_expiry_interval, message_expiry_interval, will_delay_interval,
      maximum_packet_size, subscription_identifier;
  std::optional<std::uint16_t> receive_maximum, topic_alias_maximum, topic_alias, server_keep_alive;
  std::optional<std::uint8_t> request_problem_information, request_response_information, payload_format_indicator,
      maximum_qos, retain_available, wildcard_available, subscription_id_available, shared_available;
  std::optional<std::string_view> content_type, response_topic, reason_string, authentication_method,
      assigned_client_identifier, response_information, server_reference;
  std::optional<ByteView> correlation_data, authentication_data;
  std::vector<UserProperty> user;
};
constexpr std::size_t user_properties_max = 64;

struct Will {
  std::string_view topic;
  ByteView payload;
  std::uint8_t qos = 0;
  bool retain = false;
  Properties properties;
};

struct Connect {
  Version version = Version::v311;
  bool clean_start = true;
  std::uint16_t keep_alive_seconds = 0;
  std::string_view client_id;
  std::optional<Will> will;
  std::optional<std::string_view> username;
  std::optional<ByteView> password;
  Properties properties;
};

struct Publish {
  bool dup = false;
  std::uint8_t qos = 0;
  bool retain = false;
  std::string_view topic;
  std::uint16_t packet_id = 0;  // QoS 1 and 2
  Properties properties;
  ByteView payload;
  ByteView original;  // the whole packet as it came
};

struct Acknowledgement {  // PUBACK, PUBREC, PUBREL, PUBCOMP
  std::uint16_t packet_id = 0;
  std::uint8_t reason_code = 0;
};

struct Connack {
  bool session_present = false;
  std::uint8_t code = 0;
  Properties properties;
};

struct SubscriptionRequest {
  std::string_view filter;
  std::uint8_t qos = 0;
};
struct Subscribe {
  std::uint16_t packet_id = 0;
  std::vector<SubscriptionRequest> requests;
  Properties properties;
};
struct Unsubscribe {
  std::uint16_t packet_id = 0;
  std::vector<std::string_view> filters;
};
struct Disconnect {
  std::uint8_t reason_code = 0;
  Properties properties;
};

// A packet cut out of the stream, not yet looked into.
struct Frame {
  PacketType type = PacketType::connect;
  std::uint8_t flags = 0;
  ByteView body;
  ByteView whole;
};

}  // namespace fleetward::mqtt
