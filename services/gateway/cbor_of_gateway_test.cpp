// Reports in CBOR: taken by the rules of JSON, kept as they came, answered in CBOR.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

class CborOfGatewayTest : public GatewayTest {
 protected:
  static std::string topic(std::string_view tail = "") {
    return fmt::format("$aws/things/dev1/defender/metrics/cbor{}", tail);
  }
  static std::string payload(const json::Value& value) {
    std::string bytes;
    json::Value::to_cbor(value, bytes);
    return bytes;
  }
  // Of a publish to the device on that topic, read as CBOR.
  json::Value answer(Client& device, const std::string& on) {
    const Packet packet = device.expect(mqtt::PacketType::publish);
    mqtt::Failure failure;
    const auto publish = mqtt::decode_publish(packet.frame(), GetParam(), failure);
    EXPECT_TRUE(publish && publish->topic == on);
    if (!publish) return {};
    return json::Value::from_cbor(publish->payload.begin(), publish->payload.end());
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, CborOfGatewayTest, ::testing::Values(mqtt::Version::v311, mqtt::Version::v5),
                         [](const auto& p) { return p.param == mqtt::Version::v5 ? "v5" : "v311"; });

TEST_P(CborOfGatewayTest, IsKeptAsItCameAndAnsweredInCbor) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_LT(device->subscribe(topic("/accepted")), 0x80);
  const std::string sent = payload(*json::parse(report(41)));
  device->publish(topic(), sent, 9);
  device->expect(mqtt::PacketType::puback);
  const json::Value reply = answer(*device, topic("/accepted"));
  EXPECT_EQ(reply["reportId"], 41);
  EXPECT_EQ(reply["status"], "ACCEPTED");
  const auto all = reports();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].value, sent);
  EXPECT_EQ(bus::find_header(all[0].headers, fleet::header::content_type), "application/cbor");
  EXPECT_EQ(counters_.reports("accepted").value(), 1U);
}

TEST_P(CborOfGatewayTest, IsRefusedWithTheFieldAndTheId) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_LT(device->subscribe(topic("/rejected")), 0x80);
  device->publish(topic(), payload(*json::parse(R"({"hed":{"rid":5,"v":"1.0"},"met":{"ns":{"bi":-1}}})")), 9);
  device->expect(mqtt::PacketType::puback);
  const json::Value reply = answer(*device, topic("/rejected"));
  EXPECT_EQ(reply["reportId"], 5);
  EXPECT_EQ(reply["statusDetails"]["ErrorMessage"], "metrics.network_stats.bytes_in is below 0");
  EXPECT_TRUE(reports().empty());
}

}  // namespace
}  // namespace fleetward::gateway
