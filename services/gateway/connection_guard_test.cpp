#include "services/gateway/connection_guard.hpp"

#include <gtest/gtest.h>

namespace fleetward::gateway {
namespace {

constexpr SteadyTime start = std::chrono::seconds(1'000);
constexpr std::chrono::milliseconds ms{1};

ConnectionLimits limits() {
  ConnectionLimits l;
  l.connections = {1'000, 1'000};
  l.handshakes_max = 100;
  l.address_connections = {1'000, 1'000};
  l.address_handshakes_max = 100;
  l.address_failures = {10, 3};
  l.device_connections = {10, 3};
  return l;
}

TEST(ConnectionGuard, LimitsHandshakesAtOnceInAllAndByAddress) {
  ConnectionLimits l = limits();
  l.handshakes_max = 3;
  l.address_handshakes_max = 2;
  ConnectionGuard guard(l);
  EXPECT_EQ(guard.admit("10.0.0.1", start), "");
  EXPECT_EQ(guard.admit("10.0.0.1", start), "");
  EXPECT_EQ(guard.admit("10.0.0.1", start), "address-handshakes");
  EXPECT_EQ(guard.admit("10.0.0.2", start), "");
  EXPECT_EQ(guard.admit("10.0.0.3", start), "handshakes-max");
  EXPECT_EQ(guard.handshakes(), 3U);
  guard.over("10.0.0.1", true, start);
  EXPECT_EQ(guard.admit("10.0.0.3", start), "");
  EXPECT_EQ(guard.admit("10.0.0.1", start), "handshakes-max");
}

TEST(ConnectionGuard, LimitsRatesInAllAndByAddress) {
  ConnectionLimits l = limits();
  l.connections = {10, 4};
  l.address_connections = {10, 2};
  ConnectionGuard guard(l);
  EXPECT_EQ(guard.admit("10.0.0.1", start), "");
  EXPECT_EQ(guard.admit("10.0.0.1", start), "");
  EXPECT_EQ(guard.admit("10.0.0.1", start), "address-rate");
  EXPECT_EQ(guard.admit("10.0.0.2", start), "");
  EXPECT_EQ(guard.admit("10.0.0.2", start), "");
  EXPECT_EQ(guard.admit("10.0.0.3", start), "connection-rate");
  EXPECT_EQ(guard.admit("10.0.0.1", start + 100 * ms), "");
}

TEST(ConnectionGuard, FailuresCloseTheirAddressAndNoOther) {
  ConnectionGuard guard(limits());
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(guard.admit("10.0.0.1", start), "");
    guard.over("10.0.0.1", false, start);
  }
  EXPECT_EQ(guard.admit("10.0.0.1", start), "address-failures");
  EXPECT_EQ(guard.admit("10.0.0.2", start), "");
  EXPECT_EQ(guard.admit("10.0.0.1", start + 100 * ms), "") << "it is let in again as its failures are forgiven";
}

TEST(ConnectionGuard, SuccessesCloseNobody) {
  ConnectionGuard guard(limits());
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(guard.admit("10.0.0.1", start), "");
    guard.over("10.0.0.1", true, start);
  }
}

TEST(ConnectionGuard, AnIpv6AddressCountsByItsNetworkAndAMappedOneAsIpv4) {
  EXPECT_EQ(limited_part("2001:db8::1"), limited_part("2001:db8::ffff"));
  EXPECT_NE(limited_part("2001:db8::1"), limited_part("2001:db8:0:1::1"));
  EXPECT_EQ(limited_part("::ffff:10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(limited_part("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(limited_part("fe80::1%eth0"), limited_part("fe80::2"));
}

TEST(ConnectionGuard, ADeviceThatConnectsTooOftenIsToldSo) {
  ConnectionGuard guard(limits());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(guard.connects("dev1", start));
  EXPECT_FALSE(guard.connects("dev1", start));
  EXPECT_TRUE(guard.connects("dev10", start));
  EXPECT_TRUE(guard.connects("dev1", start + 100 * ms));
}

TEST(ConnectionGuard, RemembersABoundedNumberAndForgetsThoseAtRest) {
  ConnectionLimits l = limits();
  l.addresses_max = 10;
  l.things_max = 2;
  l.handshakes_max = 1'000;
  l.address_connections = {10, 5};
  ConnectionGuard guard(l);
  for (int i = 0; i < 100; ++i) {
    const std::string address = fmt::format("10.0.0.{}", i);
    if (guard.admit(address, start).empty()) guard.over(address, true, start);
  }
  EXPECT_EQ(guard.addresses(), 10U);
  EXPECT_EQ(guard.admit("10.0.0.200", start), "address-rate") << "those without room share one entry";
  EXPECT_EQ(guard.admit("10.0.0.200", start + std::chrono::seconds(10)), "") << "and get room when others are at rest";
  EXPECT_LE(guard.addresses(), 10U);
  for (int i = 0; i < 100; ++i) guard.connects(fmt::format("dev{}", i), start);
  EXPECT_FALSE(guard.connects("another", start));
  EXPECT_TRUE(guard.connects("another", start + std::chrono::seconds(10)));
}

TEST(ConnectionGuard, CountsGoBackToNothingWhateverEntryTheyStoodIn) {
  ConnectionLimits l = limits();
  l.addresses_max = 1;
  ConnectionGuard guard(l);
  EXPECT_EQ(guard.admit("10.0.0.1", start), "");
  EXPECT_EQ(guard.admit("10.0.0.2", start), "");  // shared
  guard.over("10.0.0.1", true, start);
  const SteadyTime later = start + std::chrono::seconds(60);
  EXPECT_EQ(guard.admit("10.0.0.2", later), "");  // has an entry of its own by now
  guard.over("10.0.0.2", true, later);
  guard.over("10.0.0.2", true, later);
  EXPECT_EQ(guard.handshakes(), 0U);
}

}  // namespace
}  // namespace fleetward::gateway
