#include "services/detector/gateway_leases.hpp"

#include <gtest/gtest.h>

namespace fleetward::detector {
namespace {

fleet::GatewayHeartbeat beat(std::string instance, std::int64_t start, std::int64_t lease_end_ms,
                             bool stopping = false) {
  fleet::GatewayHeartbeat h;
  h.instance = std::move(instance);
  h.start_number = start;
  h.lease_end = instant_from_ms(lease_end_ms);
  h.stopping = stopping;
  return h;
}
constexpr Instant at(std::int64_t ms) { return Instant(Millis(ms)); }

TEST(GatewayLeases, TellComingGoingAndComingAnew) {
  GatewayLeases leases;
  EXPECT_TRUE(leases.hear(beat("g1", 1, 100), at(0)));
  EXPECT_FALSE(leases.hear(beat("g1", 1, 200), at(50))) << "it is there, as before";
  EXPECT_TRUE(leases.hear(beat("g1", 2, 300), at(60))) << "another process under its name";
  EXPECT_FALSE(leases.hear(beat("g1", 1, 400, true), at(70))) << "the one before says goodbye late";
  EXPECT_TRUE(leases.hear(beat("g1", 2, 300, true), at(80)));
  EXPECT_FALSE(leases.hear(beat("g1", 2, 300, true), at(80)));
  EXPECT_TRUE(leases.hear(beat("g1", 3, 300), at(90))) << "it returned";
}

TEST(GatewayLeases, TellALeaseThatEndsOnce) {
  GatewayLeases leases;
  leases.hear(beat("g1", 1, 100), at(0));
  leases.hear(beat("g2", 1, 500), at(0));
  EXPECT_FALSE(leases.lapse(at(99)));
  EXPECT_TRUE(leases.lapse(at(100)));
  EXPECT_FALSE(leases.lapse(at(101)));
  EXPECT_TRUE(leases.hear(beat("g1", 1, 300), at(200))) << "the same process was cut off and is back";
}

TEST(GatewayLeases, TakeNoNoticeOfWhatIsLongOver) {
  GatewayLeases leases;
  EXPECT_FALSE(leases.hear(beat("g1", 1, 100), at(100)));
  EXPECT_FALSE(leases.hear(beat("g2", 1, 900, true), at(100)));
  EXPECT_EQ(leases.size(), 0U);
}

TEST(GatewayLeases, AreBounded) {
  GatewayLeases leases;
  for (std::size_t i = 0; i < GatewayLeases::gateways_max + 5; ++i)
    leases.hear(beat(fmt::format("g{}", i), 1, 100), at(0));
  EXPECT_EQ(leases.size(), GatewayLeases::gateways_max);
}

}  // namespace
}  // namespace fleetward::detector
