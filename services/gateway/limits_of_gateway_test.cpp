// What a gateway takes from one device, one address and all of them, and how it says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using mqtt::PacketType;

class LimitsOfGatewayTest : public GatewayTest {
 protected:
  // The CONNACK code in 5; 3 (server unavailable) stands for all of these in 3.1.1.
  int refusal(std::uint8_t code) const { return GetParam() == mqtt::Version::v5 ? code : 3; }
  bool counted(std::string_view reason, std::uint64_t n = 1) {
    return eventually([&] { return counters_.refused(reason).value() == n; });
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, LimitsOfGatewayTest, ::testing::Values(mqtt::Version::v311, mqtt::Version::v5),
                         [](const auto& p) { return p.param == mqtt::Version::v5 ? "v5" : "v311"; });

TEST_P(LimitsOfGatewayTest, ADeviceThatConnectsTooOftenIsRefusedAndNoOtherIs) {
  config_.connection_limits.device_connections = {1, 2};
  start();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
  EXPECT_EQ(client(dev1_)->connect("dev1"), refusal(mqtt::reason::connection_rate_exceeded));
  EXPECT_EQ(counters_.refused("device-rate").value(), 1U);
  EXPECT_EQ(client(dev2_)->connect("dev2"), 0);
}

TEST_P(LimitsOfGatewayTest, WhoClaimsAnothersNameUsesUpItsOwnRateAndNotTheOthers) {
  config_.connection_limits.device_connections = {1, 2};
  start();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client(dev1_)->connect("dev2"), not_authorized());
  EXPECT_EQ(client(dev2_)->connect("dev2"), 0);
}

TEST_P(LimitsOfGatewayTest, AHeldDeviceHearsThatItIsHeldHoweverOftenItConnects) {
  config_.connection_limits.device_connections = {1, 1};
  hold("dev1", fleet::HoldLevel::isolate, 1);
  start();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client(dev1_)->connect("dev1"), banned());
}

TEST_P(LimitsOfGatewayTest, FailuresBeforeAuthenticationCloseTheirAddress) {
  config_.connection_limits.address_failures = {1, 2};
  start();
  Authority foreign;
  const Identity stranger = foreign.device("dev1");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(client(stranger)->connect("dev1"), -1);
  ASSERT_TRUE(counted("handshake", 2));
  EXPECT_EQ(client(stranger)->connect("dev1"), -1);
  ASSERT_TRUE(counted("address-failures"));
  EXPECT_EQ(counters_.refused("handshake").value(), 2U) << "no handshake was begun with it";
  EXPECT_EQ(cloud_sum("dev1", "aws:num-connection-attempts"), 0) << "nothing counts against the name";
  EXPECT_TRUE(eventually([&] { return client(dev1_)->connect("dev1") == 0; })) << "forgiven in time";
}

TEST_P(LimitsOfGatewayTest, SuccessesDoNotCloseTheirAddress) {
  config_.connection_limits.address_failures = {1, 2};
  start();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
}

TEST_P(LimitsOfGatewayTest, AnAddressThatConnectsTooOftenIsClosed) {
  config_.connection_limits.address_connections = {1, 2};
  start();
  auto first = client(dev1_);
  EXPECT_EQ(first->connect("dev1"), 0);
  EXPECT_EQ(client(dev2_)->connect("dev2"), 0);
  EXPECT_EQ(client(dev2_)->connect("dev2"), -1);
  EXPECT_TRUE(counted("address-rate"));
  EXPECT_TRUE(first->is_alive());
}

TEST_P(LimitsOfGatewayTest, HandshakesAtOnceAreBounded) {
  config_.connection_limits.handshakes_max = 1;
  start();
  std::shared_ptr<net::Connection> silent;  // TCP, and no TLS
  std::atomic<bool> silent_is_open{false};
  async::run_on(client_loop_, [&] {
    net::Connection::Callbacks callbacks;
    callbacks.open = [&](const net::TlsInfo&) { silent_is_open = true; };
    silent = net::connect(client_loop_, {"127.0.0.1", gateway_->port()}, nullptr, std::move(callbacks));
  });
  ASSERT_TRUE(eventually([&] { return silent_is_open && counters_.handshakes.value() == 1; }));
  EXPECT_EQ(client(dev1_)->connect("dev1"), -1);
  EXPECT_TRUE(counted("handshakes-max"));
  async::run_on(client_loop_, [&] { silent->abort(); });
  async::run_on(client_loop_, [&] { silent.reset(); });
  EXPECT_TRUE(eventually([&] { return counters_.handshakes.value() == 0; }));
  EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
}

TEST_P(LimitsOfGatewayTest, TooManyMessagesASecondEndTheSessionOrWait) {
  const bool is_told = GetParam() == mqtt::Version::v5;
  config_.session.messages = {is_told ? 1 : 20, 3};
  start();
  auto device = client(dev1_);
  auto other = client(dev2_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_EQ(other->connect("dev2"), 0);
  for (std::uint16_t id = 1; id <= 3; ++id) {
    device->publish(report_topic("dev1"), report(id), id);
    device->expect(PacketType::puback);
  }
  if (is_told) {
    device->publish(report_topic("dev1"), report(4), 4);
    device->expect_cut(mqtt::reason::message_rate_too_high);
    EXPECT_EQ(counters_.refused("message-rate").value(), 1U);
    EXPECT_EQ(reports().size(), 3U);
  } else {
    // 3.1.1 cannot be told: it is read more slowly, and loses nothing.
    for (std::uint16_t id = 4; id <= 20; ++id) device->publish(report_topic("dev1"), report(id), id);
    for (std::uint8_t id = 4; id <= 20; ++id) EXPECT_EQ(device->expect(PacketType::puback).body[1], id);
    EXPECT_GE(counters_.throttled("device").value(), 1U);
    EXPECT_EQ(counters_.refused("message-rate").value(), 0U);
    EXPECT_EQ(reports().size(), 20U);
  }
  EXPECT_TRUE(other->is_alive());
}

TEST_P(LimitsOfGatewayTest, TooManyBytesASecondEndTheSessionOrWait) {
  const bool is_told = GetParam() == mqtt::Version::v5;
  config_.session.bytes = {is_told ? 1'000 : 10'000, 2'000};
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  device->publish(report_topic("dev1"), std::string(1'500, 'x'), 1);
  device->expect(PacketType::puback);
  device->publish(report_topic("dev1"), std::string(1'500, 'x'), 2);
  if (is_told) {
    device->expect_cut(mqtt::reason::quota_exceeded);
    EXPECT_EQ(counters_.refused("quota").value(), 1U);
    return;
  }
  for (std::uint16_t id = 3; id <= 4; ++id) device->publish(report_topic("dev1"), std::string(1'500, 'x'), id);
  for (std::uint8_t id = 2; id <= 4; ++id) EXPECT_EQ(device->expect(PacketType::puback).body[1], id);
  EXPECT_GE(counters_.throttled("device").value(), 1U);
  EXPECT_TRUE(device->is_alive());
}

TEST_P(LimitsOfGatewayTest, WhatAllTogetherSendTooMuchOfWaitsAndIsNotLost) {
  config_.messages = {20, 1};
  start();
  auto device = client(dev1_);
  auto other = client(dev2_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_EQ(other->connect("dev2"), 0);
  for (std::uint16_t id = 1; id <= 5; ++id) {
    device->publish(report_topic("dev1"), report(id), id);
    other->publish(report_topic("dev2"), report(id), id);
  }
  for (std::uint8_t id = 1; id <= 5; ++id) {
    EXPECT_EQ(device->expect(PacketType::puback).body[1], id);
    EXPECT_EQ(other->expect(PacketType::puback).body[1], id);
  }
  EXPECT_GT(counters_.throttled("all").value(), 0U);
  EXPECT_EQ(reports().size(), 10U);
}

}  // namespace
}  // namespace fleetward::gateway
