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
#include "mqtt/reason.hpp"

namespace fleetward::mqtt {

enum class Version : std::uint8_t { v311 = 4, v5 = 5 };

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
constexpr std::size_t user_properties_max = 64;  // a packet
constexpr std::size_t filters_max = 1024;        // a SUBSCRIBE or UNSUBSCRIBE, as they are read

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
  std::string_view topic;       // where it came as an alias, the session puts the topic here that it stands for
  std::uint16_t packet_id = 0;  // QoS 1 and 2
  Properties properties;
  ByteView payload;
  ByteView original;  // the whole packet as it came
};

struct Acknowledgement {  // PUBACK, PUBREC, PUBREL, PUBCOMP
  std::uint16_t packet_id = 0;
  std::uint8_t reason_code = 0;
  Properties properties;
};

struct Connack {
  bool session_present = false;
  std::uint8_t code = 0;
  Properties properties;
};

struct SubscriptionRequest {
  std::string_view filter;
  std::uint8_t qos = 0;
  bool no_local = false;  // these three: section 3.8.3.1, 5 only
  bool retain_as_published = false;
  std::uint8_t retain_handling = 0;
};
struct Subscribe {
  std::uint16_t packet_id = 0;
  std::vector<SubscriptionRequest> requests;
  Properties properties;
};
struct Suback {
  std::uint16_t packet_id = 0;
  std::vector<std::uint8_t> codes;  // one a filter, in their order
  Properties properties;
};
struct Unsubscribe {
  std::uint16_t packet_id = 0;
  std::vector<std::string_view> filters;
  Properties properties;
};
struct Disconnect {
  std::uint8_t reason_code = 0;
  Properties properties;
};

struct Auth {
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
