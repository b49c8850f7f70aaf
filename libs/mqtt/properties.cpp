#include "mqtt/properties.hpp"

#include <array>

#include "mqtt/topic.hpp"

namespace fleetward::mqtt {
namespace {

constexpr std::uint32_t anywhere = 0xFFFF;

struct Allowed {
  std::uint32_t id;
  std::uint32_t places;
};
// Table 2-4.
constexpr std::array<Allowed, 27> allowed{{
    {0x01, in_publish | in_will},                               // payload format indicator
    {0x02, in_publish | in_will},                               // message expiry interval
    {0x03, in_publish | in_will},                               // content type
    {0x08, in_publish | in_will},                               // response topic
    {0x09, in_publish | in_will},                               // correlation data
    {0x0B, in_publish | in_subscribe},                          // subscription identifier
    {0x11, in_connect | in_connack | in_disconnect},            // session expiry interval
    {0x12, in_connack},                                         // assigned client identifier
    {0x13, in_connack},                                         // server keep alive
    {0x15, in_connect | in_connack | in_auth},                  // authentication method
    {0x16, in_connect | in_connack | in_auth},                  // authentication data
    {0x17, in_connect},                                         // request problem information
    {0x18, in_will},                                            // will delay interval
    {0x19, in_connect},                                         // request response information
    {0x1A, in_connack},                                         // response information
    {0x1C, in_connack | in_disconnect},                         // server reference
    {0x1F, in_connack | in_receipt | in_disconnect | in_auth},  // reason string
    {0x21, in_connect | in_connack},                            // receive maximum
    {0x22, in_connect | in_connack},                            // topic alias maximum
    {0x23, in_publish},                                         // topic alias
    {0x24, in_connack},                                         // maximum QoS
    {0x25, in_connack},                                         // retain available
    {0x26, anywhere},                                           // user property
    {0x27, in_connect | in_connack},                            // maximum packet size
    {0x28, in_connack},                                         // wildcard subscription available
    {0x29, in_connack},                                         // subscription identifier available
    {0x2A, in_connack},                                         // shared subscription available
}};

bool may_stand(std::uint32_t id, std::uint32_t place) {
  for (const Allowed& a : allowed) {
    if (a.id == id) return (a.places & place) != 0;
  }
  return false;
}

template <class T>
void once(Cursor& c, std::optional<T>& field, T value, std::string_view name) {
  if (field) return c.fail(reason::protocol_error, fmt::format("property {} is there twice", name));
  if (!c.failed()) field = value;
}

void flag(Cursor& c, std::optional<std::uint8_t>& field, std::string_view name) {
  const std::uint8_t value = c.u8(name);
  if (value > 1) return c.fail(reason::protocol_error, fmt::format("property {} is neither 0 nor 1", name));
  once(c, field, value, name);
}

template <class T>
void positive(Cursor& c, std::optional<T>& field, T value, std::string_view name,
              std::uint8_t refusal = reason::protocol_error) {
  if (!c.failed() && value == 0) return c.fail(refusal, fmt::format("property {} is zero", name));
  once(c, field, value, name);
}

void user_property(Cursor& c, Properties& p) {
  UserProperty pair;
  pair.name = c.text("user property name");
  pair.value = c.text("user property value");
  if (p.user.size() >= user_properties_max) return c.fail(reason::quota_exceeded, "too many user properties");
  if (!c.failed()) p.user.push_back(pair);
}

void response_topic(Cursor& c, Properties& p) {
  once(c, p.response_topic, c.text("response topic"), "response topic");
  if (!c.failed() && !is_topic_name(*p.response_topic))
    c.fail(reason::protocol_error, "the response topic is not a topic name");
}

bool read_flag(Cursor& c, std::uint32_t id, Properties& p) {
  switch (id) {
    case 0x01:
      return flag(c, p.payload_format_indicator, "payload format indicator"), true;
    case 0x17:
      return flag(c, p.request_problem_information, "request problem information"), true;
    case 0x19:
      return flag(c, p.request_response_information, "request response information"), true;
    case 0x24:
      return flag(c, p.maximum_qos, "maximum QoS"), true;
    case 0x25:
      return flag(c, p.retain_available, "retain available"), true;
    case 0x28:
      return flag(c, p.wildcard_available, "wildcard subscription available"), true;
    case 0x29:
      return flag(c, p.subscription_id_available, "subscription identifier available"), true;
    case 0x2A:
      return flag(c, p.shared_available, "shared subscription available"), true;
    default:
      return false;
  }
}

bool read_number(Cursor& c, std::uint32_t id, Properties& p) {
  switch (id) {
    case 0x02:
      return once(c, p.message_expiry_interval, c.u32("message expiry"), "message expiry"), true;
    case 0x0B:
      return positive(c, p.subscription_identifier, c.variable("subscription identifier"), "subscription identifier"),
             true;
    case 0x11:
      return once(c, p.session_expiry_interval, c.u32("session expiry"), "session expiry"), true;
    case 0x13:
      return once(c, p.server_keep_alive, c.u16("server keep alive"), "server keep alive"), true;
    case 0x18:
      return once(c, p.will_delay_interval, c.u32("will delay"), "will delay"), true;
    case 0x21:
      return positive(c, p.receive_maximum, c.u16("receive maximum"), "receive maximum"), true;
    case 0x22:
      return once(c, p.topic_alias_maximum, c.u16("topic alias maximum"), "topic alias maximum"), true;
    case 0x23:
      return positive(c, p.topic_alias, c.u16("topic alias"), "topic alias", reason::topic_alias_invalid), true;
    case 0x27:
      return positive(c, p.maximum_packet_size, c.u32("maximum packet size"), "maximum packet size"), true;
    default:
      return false;
  }
}

void read_text(Cursor& c, std::uint32_t id, Properties& p) {
  switch (id) {
    case 0x03:
      return once(c, p.content_type, c.text("content type"), "content type");
    case 0x08:
      return response_topic(c, p);
    case 0x09:
      return once(c, p.correlation_data, c.binary("correlation data"), "correlation data");
    case 0x12:
      return once(c, p.assigned_client_identifier, c.text("assigned client id"), "assigned client id");
    case 0x15:
      return once(c, p.authentication_method, c.text("authentication method"), "authentication method");
    case 0x16:
      return once(c, p.authentication_data, c.binary("authentication data"), "authentication data");
    case 0x1A:
      return once(c, p.response_information, c.text("response information"), "response information");
    case 0x1C:
      return once(c, p.server_reference, c.text("server reference"), "server reference");
    case 0x1F:
      return once(c, p.reason_string, c.text("reason string"), "reason string");
    default:
      return user_property(c, p);
  }
}

}  // namespace

Properties read_properties(Cursor& c, Version version, Place place) {
  Properties p;
  if (version != Version::v5) return p;
  const std::uint32_t length = c.variable("property length");
  Cursor inner(c.take(length, "properties"), c.failure());
  while (inner.has_more()) {
    const std::uint32_t id = inner.variable("property identifier");
    if (inner.failed()) break;
    if (!may_stand(id, place)) {
      inner.malformed(fmt::format("property {:#04x} may not stand here", id));
    } else if (!read_flag(inner, id, p) && !read_number(inner, id, p)) {
      read_text(inner, id, p);
    }
  }
  return p;
}

}  // namespace fleetward::mqtt
