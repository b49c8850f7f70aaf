#include "services/gateway/gateway.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using fleet::CertificateStatus;
using fleet::EnforcementKind;
using fleet::HoldLevel;
using mqtt::PacketType;
using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(Versions, GatewayTest, ::testing::Values(mqtt::Version::v311, mqtt::Version::v5),
                         [](const auto& p) { return p.param == mqtt::Version::v5 ? "v5" : "v311"; });

std::string payload_of(const Packet& packet, mqtt::Version version) {
  mqtt::Failure failure;
  const auto publish = mqtt::decode_publish(packet.frame(), version, failure);
  return publish ? std::string(as_text(publish->payload)) : "";
}

TEST_P(GatewayTest, AReportIsAcknowledgedAnsweredAndOnTheBus) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_EQ(device->subscribe(report_topic("dev1") + "/accepted"), 1);
  device->publish(report_topic("dev1"), report(77), 5);
  EXPECT_EQ(device->expect(PacketType::puback).body[1], 5);
  const auto reply = json::parse(payload_of(device->expect(PacketType::publish), GetParam()));
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ((*reply)["status"], "ACCEPTED");
  EXPECT_EQ((*reply)["reportId"], 77);
  EXPECT_EQ((*reply)["thingName"], "dev1");

  const auto all = reports();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].key, "dev1");
  EXPECT_EQ(*all[0].value, report(77));
  EXPECT_EQ(bus::find_header(all[0].headers, fleet::header::principal), dev1_.fingerprint);
  EXPECT_EQ(bus::find_header(all[0].headers, fleet::header::thing_id), "id-dev1");
  EXPECT_EQ(bus::find_header(all[0].headers, fleet::header::packet_id), "5");
  EXPECT_EQ(counters_.reports("accepted").value(), 1U);
}

TEST_P(GatewayTest, NothingIsAcknowledgedBeforeItIsDurable) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  bus_.hold();
  device->publish(report_topic("dev1"), report(1), 1);
  EXPECT_TRUE(device->is_alive());  // and no PUBACK came before the answer to the ping
  EXPECT_EQ(counters_.reports("accepted").value(), 0U);
  bus_.release();
  EXPECT_EQ(device->expect(PacketType::puback).body[1], 1);
}

TEST_P(GatewayTest, ABusThatIsAwayDelaysButLosesNothing) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  bus_.append_fails = true;
  for (std::uint16_t id = 1; id <= 3; ++id) device->publish(report_topic("dev1"), report(id), id);
  EXPECT_TRUE(device->is_alive());
  bus_.append_fails = false;
  for (std::uint8_t id = 1; id <= 3; ++id) EXPECT_EQ(device->expect(PacketType::puback).body[1], id);
  EXPECT_EQ(reports().size(), 3U);
}

TEST_P(GatewayTest, BeyondTheBytesInFlightSocketsAreNotRead) {
  config_.in_flight_bytes_max = 1;
  config_.heartbeat_every = std::chrono::hours(1);
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_TRUE(eventually([&] { return cloud_sum("dev1", "aws:num-connection-attempts") == 1; }));
  bus_.hold();
  device->publish(report_topic("dev1"), report(1), 1);
  ASSERT_TRUE(eventually([&] { return bus_.holds_any(); }));
  device->send(mqtt::encode_pingreq());
  // The gateway had time to read the ping, had it read. And nobody else is let in meanwhile.
  ASSERT_EQ(client(dev2_)->connect("dev2"), GetParam() == mqtt::Version::v5 ? mqtt::reason::server_busy : 3);
  EXPECT_EQ(counters_.refused("server-busy").value(), 1U);
  bus_.release();
  EXPECT_EQ(device->expect(PacketType::puback).body[1], 1);
  device->expect(PacketType::pingresp);  // reading went on
}

TEST_P(GatewayTest, ABadReportIsRejectedWithItsField) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_EQ(device->subscribe(report_topic("dev1") + "/rejected"), 1);
  device->publish(report_topic("dev1"),
                  R"({"header":{"report_id":4,"version":"1.0"},"metrics":{"listening_tcp_ports":{"total":-1}}})", 2);
  device->expect(PacketType::puback);
  const std::string reply = payload_of(device->expect(PacketType::publish), GetParam());
  EXPECT_THAT(reply, HasSubstr("REJECTED"));
  EXPECT_THAT(reply, HasSubstr("total"));
  EXPECT_THAT(reply, HasSubstr("\"reportId\":4"));
  EXPECT_TRUE(reports().empty());
  EXPECT_EQ(counters_.reports("rejected").value(), 1U);
}

TEST_P(GatewayTest, AnotherThingsTopicIsRefused) {
  start();
  auto other = client(dev2_);
  ASSERT_EQ(other->connect("dev2"), 0);
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  device->publish(report_topic("dev2"), report(1), 3);
  if (GetParam() == mqtt::Version::v5) {
    EXPECT_EQ(device->expect(PacketType::puback).body[2], mqtt::reason::not_authorized);
    EXPECT_EQ(device->subscribe(report_topic("dev2") + "/accepted"), mqtt::reason::not_authorized);
    EXPECT_TRUE(device->is_alive());
  } else {
    EXPECT_TRUE(device->is_closed_silently());
  }
  EXPECT_TRUE(eventually([&] { return cloud_sum("dev1", "aws:num-authorization-failures") >= 1; }));
  EXPECT_EQ(cloud_sum("dev2", "aws:num-authorization-failures"), 0);
  EXPECT_TRUE(other->is_alive());
  EXPECT_TRUE(reports().empty());
}

TEST_P(GatewayTest, AnotherThingsClientIdIsRefusedAndTheOtherHearsNothing) {
  start();
  auto other = client(dev2_);
  ASSERT_EQ(other->connect("dev2"), 0);
  auto device = client(dev1_);
  EXPECT_EQ(device->connect("dev2"), not_authorized());
  EXPECT_TRUE(device->is_closed_silently());
  EXPECT_TRUE(eventually([&] { return cloud_sum("dev1", "aws:num-authorization-failures") == 1; }));
  EXPECT_EQ(cloud_sum("dev2", "aws:num-connection-attempts"), 1);
  EXPECT_TRUE(other->is_alive());
}

TEST_P(GatewayTest, AHoldCutsRefusesAndEndsByARecord) {
  start();
  auto device = client(dev1_);
  auto other = client(dev2_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_EQ(other->connect("dev2"), 0);
  hold("dev1", HoldLevel::isolate, 1);
  device->expect_cut(mqtt::reason::administrative_action);
  const auto cut = event_of(EnforcementKind::session_cut);
  ASSERT_TRUE(cut.has_value());
  EXPECT_EQ(cut->thing, "dev1");
  EXPECT_EQ(cut->access_version, 1);
  EXPECT_EQ(cut->sessions_left, 0);
  EXPECT_EQ(cut->mqtt_reason_code, mqtt::reason::administrative_action);

  EXPECT_EQ(client(dev1_)->connect("dev1"), banned());
  EXPECT_TRUE(event_of(EnforcementKind::connect_refused).has_value());
  EXPECT_TRUE(other->is_alive());

  hold("dev1", std::nullopt, 2);
  EXPECT_TRUE(eventually([&] { return client(dev1_)->connect("dev1") == 0; }));
}

TEST_P(GatewayTest, ARestrictedDeviceStaysButMayNotReport) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  hold("dev1", HoldLevel::restrict, 1);
  ASSERT_TRUE(event_of(EnforcementKind::applied).has_value());
  EXPECT_TRUE(device->is_alive());
  EXPECT_EQ(device->subscribe("$aws/things/dev1/jobs/notify"), 1);
  device->publish(report_topic("dev1"), report(1), 1);
  if (GetParam() == mqtt::Version::v5) {
    EXPECT_EQ(device->expect(PacketType::puback).body[2], mqtt::reason::not_authorized);
  } else {
    EXPECT_TRUE(device->is_closed_silently());
  }
  EXPECT_TRUE(reports().empty());
}

TEST_P(GatewayTest, ObservingSaysWhatItWouldHaveDone) {
  config_.enforcing = false;
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  hold("dev1", HoldLevel::isolate, 1);
  const auto event = event_of(EnforcementKind::would_cut);
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->sessions_left, 1);
  EXPECT_TRUE(device->is_alive());
  EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
  EXPECT_TRUE(event_of(EnforcementKind::would_refuse).has_value());
}

TEST_P(GatewayTest, TheSameDeviceTakesItsSessionOver) {
  start();
  auto older = client(dev1_);
  ASSERT_EQ(older->connect("dev1"), 0);
  auto newer = client(dev1_);
  ASSERT_EQ(newer->connect("dev1"), 0);
  older->expect_cut(mqtt::reason::session_taken_over);
  EXPECT_TRUE(newer->is_alive());
  EXPECT_EQ(counters_.takeovers.value(), 1U);
  EXPECT_EQ(counters_.sessions.value(), 1);
  EXPECT_TRUE(eventually([&] { return cloud_sum("dev1", "aws:num-disconnects") == 1; }));
}

TEST_P(GatewayTest, ARevokedCertificateLosesItsSessionAndIsRefused) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  auto waiting = client(dev1_);  // its handshake is done, its CONNECT is not sent
  ASSERT_TRUE(waiting->opened());
  set_certificate(dev1_, "dev1", CertificateStatus::revoked, 2);
  device->expect_cut(mqtt::reason::administrative_action);
  EXPECT_EQ(waiting->connect("dev1"), not_authorized());
  EXPECT_EQ(client(dev1_)->connect("dev1"), -1);
  const auto cut = event_of(EnforcementKind::session_cut);
  ASSERT_TRUE(cut.has_value());
  EXPECT_EQ(cut->reason, "certificate-revoked");
}

TEST_P(GatewayTest, ACertificateThatMovesToAnotherThingLosesItsSession) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  set_certificate(dev1_, "dev9", CertificateStatus::active, 2);
  device->expect_cut(mqtt::reason::administrative_action);
  EXPECT_EQ(client(dev1_)->connect("dev1"), not_authorized());
  EXPECT_EQ(client(dev1_)->connect("dev9"), 0);
}

TEST_P(GatewayTest, StrangersAreNotLetIn) {
  start();
  EXPECT_EQ(client(authority_.device("dev1"))->connect("dev1"), -1);  // of our authority, but in no table
  EXPECT_EQ(counters_.refused("certificate-unknown").value(), 1U);
  Authority foreign;
  const Identity stranger = foreign.device("dev1");
  EXPECT_EQ(client(stranger)->connect("dev1"), -1);
  EXPECT_TRUE(eventually([&] { return counters_.refused("handshake").value() == 1; }));
  const Identity inactive = enrol("dev3");
  set_certificate(inactive, "dev3", CertificateStatus::inactive, 2);
  EXPECT_TRUE(eventually([&] {
    client(inactive)->connect("dev3");
    return counters_.refused("certificate-inactive").value() > 0;
  }));
  EXPECT_EQ(cloud_sum("dev1", "aws:num-connection-attempts"), 0);
}

class ProbeOfGatewayTest : public GatewayTest {};
INSTANTIATE_TEST_SUITE_P(Versions, ProbeOfGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(ProbeOfGatewayTest, IsAnsweredAndLeavesNoTrace) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  ASSERT_TRUE(eventually([&] { return cloud_sum("dev1", "aws:num-connection-attempts") == 1; }));
  const Identity probe = authority_.probe("dev1");
  auto first = client(probe);
  EXPECT_EQ(first->connect("dev1"), 0);
  EXPECT_EQ(first->facts["fleetward-sessions"], "1");
  EXPECT_EQ(first->facts["fleetward-access-version"], "0");
  EXPECT_EQ(first->facts["fleetward-gateway"], "gw");
  first->expect_cut(mqtt::reason::success);
  EXPECT_TRUE(device->is_alive());

  hold("dev1", HoldLevel::isolate, 3);
  device->expect_cut(mqtt::reason::administrative_action);
  auto second = client(probe);
  EXPECT_EQ(second->connect("dev1"), mqtt::reason::banned);
  EXPECT_EQ(second->facts["fleetward-sessions"], "0");
  EXPECT_EQ(second->facts["fleetward-access-version"], "3");
  EXPECT_EQ(cloud_sum("dev1", "aws:num-connection-attempts"), 1);
  EXPECT_EQ(counters_.takeovers.value(), 0U);
}

TEST_P(GatewayTest, AHeartbeatSaysWhatHasBeenApplied) {
  config_.heartbeat_every = Millis(20);
  hold("dev1", HoldLevel::isolate, 1);
  start();
  hold("dev1", std::nullopt, 2);
  EXPECT_TRUE(eventually([&] {
    const auto all = records(fleet::topic::gateways);
    if (all.empty()) return false;
    const auto beat = fleet::gateway_heartbeat_from_json(fleet::parse_cloud_event(*all.back().value)->data);
    return beat->access_next_offset == 2 && beat->certificates_next_offset == 2 && beat->probe_port != 0;
  }));
}

TEST_P(GatewayTest, ConnectionsBeyondTheLimitAreClosedAndCounted) {
  config_.connections_max = 1;
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  EXPECT_EQ(client(dev2_)->connect("dev2"), -1);
  EXPECT_TRUE(eventually([&] { return counters_.refused("connections-max").value() == 1; }));
  EXPECT_TRUE(device->is_alive());
}

TEST_P(GatewayTest, AClientThatSaysNothingIsClosed) {
  config_.connect_timeout = Millis(50);
  start();
  auto device = client(dev1_);
  ASSERT_TRUE(device->opened());
  EXPECT_TRUE(device->is_closed_silently());
  EXPECT_EQ(counters_.refused("no-connect").value(), 1U);
}

TEST_P(GatewayTest, StoppingAcknowledgesWhatIsUnderWayAndSaysGoodbye) {
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  bus_.hold();
  device->publish(report_topic("dev1"), report(1), 1);
  ASSERT_TRUE(device->is_alive());
  auto stopped = std::async(std::launch::async, [&] { gateway_->stop(Millis(6000)); });
  bus_.release();
  device->expect(PacketType::puback);
  device->expect_cut(mqtt::reason::server_shutting_down);
  stopped.get();
  gateway_.reset();
  EXPECT_EQ(cloud_sum("dev1", "aws:num-disconnects"), 1);
  const auto all = records(fleet::topic::gateways);
  ASSERT_FALSE(all.empty());
  EXPECT_TRUE(fleet::gateway_heartbeat_from_json(fleet::parse_cloud_event(*all.back().value)->data)->stopping);
}

}  // namespace
}  // namespace fleetward::gateway
