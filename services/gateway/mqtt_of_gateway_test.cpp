// MQTT as the gateway serves it: QoS 2, names that it gives, properties that it honours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using mqtt::PacketType;
using ::testing::HasSubstr;

class MqttOfGatewayTest : public GatewayTest {
 protected:
  std::string acknowledgement(PacketType type, std::uint16_t id) {
    return mqtt::encode_acknowledgement(type, GetParam(), id);
  }
  static std::string text(std::string_view t) {
    return std::string{static_cast<char>(t.size() >> 8), static_cast<char>(t.size() & 0xFF)} += t;
  }
  // CONNECT with a name, flags, and in 5 property bytes.
  std::string connect_packet(std::string_view name, int flags, std::string_view properties = {}) {
    std::string body = text("MQTT") + std::string{static_cast<char>(GetParam()), static_cast<char>(flags), 0, 60};
    if (GetParam() == mqtt::Version::v5) (body += static_cast<char>(properties.size())) += properties;
    body += text(name);
    return std::string{0x10, static_cast<char>(body.size())} + body;
  }
  std::optional<mqtt::Connack> answer_to(Client& device, const std::string& connect) {
    EXPECT_TRUE(device.opened());
    device.send(connect);
    kept_ = device.expect(PacketType::connack);
    mqtt::Failure failure;
    return mqtt::decode_connack(kept_.frame(), GetParam(), failure);
  }
  Packet kept_;  // what the views of an answer look into
};
INSTANTIATE_TEST_SUITE_P(Versions, MqttOfGatewayTest, ::testing::Values(mqtt::Version::v311, mqtt::Version::v5),
                         [](const auto& p) { return p.param == mqtt::Version::v5 ? "v5" : "v311"; });

TEST_P(MqttOfGatewayTest, AReportOfQos2IsReceivedOnlyWhenItIsDurableAndOnTheBusOnce) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  bus_.hold();
  device->publish(report_topic("dev1"), report(1), 7, 2);
  EXPECT_TRUE(device->is_alive()) << "and no PUBREC came before the answer to the ping";
  device->send(mqtt::encode_publish(GetParam(), report_topic("dev1"), report(1), 2, 7, true));
  EXPECT_TRUE(device->is_alive()) << "the repeat is read, and there is still no PUBREC";
  bus_.release();
  EXPECT_EQ(device->expect(PacketType::pubrec).body[1], 7);
  device->send(mqtt::encode_publish(GetParam(), report_topic("dev1"), report(1), 2, 7, true));
  EXPECT_EQ(device->expect(PacketType::pubrec).body[1], 7);
  device->send(acknowledgement(PacketType::pubrel, 7));
  EXPECT_EQ(device->expect(PacketType::pubcomp).body[1], 7);
  EXPECT_TRUE(device->is_alive());
  const auto all = reports();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(bus::find_header(all[0].headers, fleet::header::packet_id), "7");
  EXPECT_EQ(counters_.reports("accepted").value(), 1U);
}

TEST_P(MqttOfGatewayTest, AReportOfQos2ForAnotherThingIsRefused) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  device->publish(report_topic("dev2"), report(1), 7, 2);
  if (GetParam() == mqtt::Version::v311) {
    EXPECT_TRUE(device->is_closed_silently());
    return;
  }
  const Packet refused = device->expect(PacketType::pubrec);
  EXPECT_EQ(refused.body.at(2), mqtt::reason::not_authorized);
  EXPECT_THAT(std::string(as_text(refused.body)), HasSubstr("may not publish"));
  device->publish(report_topic("dev1"), report(1), 7, 2);  // the identifier is free again
  EXPECT_EQ(device->expect(PacketType::pubrec).body.size(), 2U);
}

TEST_P(MqttOfGatewayTest, WhoGivesNoNameIsItsCertificatesThing) {
  start();
  auto device = client(dev1_);
  const auto connack = answer_to(*device, connect_packet("", 2));
  ASSERT_TRUE(connack);
  EXPECT_EQ(connack->code, 0);
  if (GetParam() == mqtt::Version::v5) EXPECT_EQ(connack->properties.assigned_client_identifier, "dev1");
  device->publish(report_topic("dev1"), report(1), 1);
  device->expect(PacketType::puback);
  ASSERT_EQ(reports().size(), 1U);
  EXPECT_EQ(reports()[0].key, "dev1");
}

TEST_P(MqttOfGatewayTest, WhoGivesNoNameButWantsASessionKept) {
  start();
  auto device = client(dev1_);
  const auto connack = answer_to(*device, connect_packet("", 0));
  ASSERT_TRUE(connack);
  EXPECT_EQ(connack->code, GetParam() == mqtt::Version::v5 ? 0 : 2);
  EXPECT_FALSE(connack->session_present);
}

TEST_P(MqttOfGatewayTest, ASessionIsNotKept) {
  start();
  for (int round = 0; round < 2; ++round) {
    auto device = client(dev1_);
    const bool is_5 = GetParam() == mqtt::Version::v5;
    const auto connack =
        answer_to(*device, connect_packet("dev1", 0, is_5 ? std::string("\x11\x00\x00\x0e\x10", 5) : ""));
    ASSERT_TRUE(connack);
    EXPECT_FALSE(connack->session_present);
    if (is_5) EXPECT_EQ(connack->properties.session_expiry_interval, 0U);
  }
}

TEST_P(MqttOfGatewayTest, ATopicAliasStandsForTheReportTopic) {
  if (GetParam() == mqtt::Version::v311) return;  // it has none
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  for (std::uint8_t id = 1; id <= 2; ++id) {
    std::string body = text(id == 1 ? report_topic("dev1") : "") + std::string{0, static_cast<char>(id)};
    body += std::string("\x03\x23\x00\x01", 4) + report(id);
    std::string packet{0x32};
    for (std::size_t n = body.size(); n > 0; n >>= 7) packet += static_cast<char>((n & 0x7F) | (n > 0x7F ? 0x80 : 0));
    device->send(packet + body);
    EXPECT_EQ(device->expect(PacketType::puback).body[1], id);
  }
  EXPECT_EQ(reports().size(), 2U);
}

}  // namespace
}  // namespace fleetward::gateway
