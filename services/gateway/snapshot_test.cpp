// The tables on the gateway's own disk, and a start from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using fleet::EnforcementKind;
using fleet::HoldLevel;

INSTANTIATE_TEST_SUITE_P(Versions, SnapshotOfGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(SnapshotOfGatewayTest, ABlockIsOnTheDiskBeforeItIsReportedAndServesWithoutTheBus) {
  config_.heartbeat_every = Millis(20);
  start();
  {
    auto device = client(dev1_);
    ASSERT_EQ(device->connect("dev1"), 0);
    hold("dev1", HoldLevel::isolate, 1);
    ASSERT_TRUE(event_of(EnforcementKind::session_cut).has_value());
    const auto kept = Snapshot::read(config_.snapshot_folder);
    ASSERT_TRUE(kept.ok()) << kept.error().message;
    ASSERT_EQ(kept->access.size(), 1U);
    EXPECT_EQ(kept->access[0].thing, "dev1");
  }
  stop_unheard();

  start();  // from the snapshot
  EXPECT_EQ(client(dev1_)->connect("dev1"), banned());
  auto other = client(dev2_);
  EXPECT_EQ(other->connect("dev2"), 0);
  // The bus is back: it goes on from there.
  hold("dev2", HoldLevel::isolate, 1);
  bus_.read_fails = false;
  other->expect_cut(mqtt::reason::administrative_action);
}

// While it is stopped nobody waits for it: a device may have been proven to be off by the other gateways alone.
TEST_P(SnapshotOfGatewayTest, WhoHasSaidGoodbyeComesBackByWhatTheBusSaysAlone) {
  start();
  gateway_->stop(Millis(6000));
  gateway_.reset();
  EXPECT_EQ(Snapshot::read(config_.snapshot_folder).error().code, ErrorCode::not_found);

  hold("dev1", HoldLevel::isolate, 1);
  bus_.read_fails = true;
  gateway_ = std::make_unique<Gateway>(config_, bus_, gateway_loop_, metrics_);
  ASSERT_TRUE(gateway_->start().ok());
  async::run_on(gateway_loop_, [] {});
  EXPECT_EQ(gateway_->port(), 0);
  bus_.read_fails = false;
  ASSERT_TRUE(eventually([&] { return gateway_->ready().ok(); }));
  EXPECT_EQ(client(dev1_)->connect("dev1"), banned());
}

TEST_P(SnapshotOfGatewayTest, WithoutBusAndWithoutSnapshotNobodyIsAdmitted) {
  bus_.read_fails = true;
  gateway_ = std::make_unique<Gateway>(config_, bus_, gateway_loop_, metrics_);
  ASSERT_TRUE(gateway_->start().ok());
  async::run_on(gateway_loop_, [] {});
  EXPECT_FALSE(gateway_->ready().ok());
  EXPECT_EQ(gateway_->port(), 0);
  bus_.read_fails = false;
  EXPECT_TRUE(eventually([&] { return gateway_->ready().ok(); }));
}

TEST_P(SnapshotOfGatewayTest, ASnapshotThatIsTooOldIsNotUsed) {
  access::HoldTable holds;
  access::CertificateTable certificates;
  ASSERT_TRUE(Snapshot(config_.snapshot_folder).write(holds, certificates, instant_from_ms(1000)).ok());
  bus_.read_fails = true;
  gateway_ = std::make_unique<Gateway>(config_, bus_, gateway_loop_, metrics_);
  ASSERT_TRUE(gateway_->start().ok());
  async::run_on(gateway_loop_, [] {});
  EXPECT_EQ(gateway_->port(), 0);
}

}  // namespace
}  // namespace fleetward::gateway
