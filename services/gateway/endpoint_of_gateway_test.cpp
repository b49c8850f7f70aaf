// How a connection may come to the gateway: by ALPN, and through a load balancer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using ::testing::HasSubstr;

class EndpointOfGatewayTest : public SnapshotOfGatewayTest {
 protected:
  // What openssl says of a handshake with that offer; `before`: bytes that go ahead of it.
  std::string s_client(const std::string& options) {
    std::filesystem::create_directories(folder_);
    const auto file = [this](const std::string& name, const std::string& text) {
      std::ofstream(folder_ / name, std::ios::binary) << text;
      return (folder_ / name).string();
    };
    const std::string out = (folder_ / "out").string();
    const std::string command = fmt::format(
        "timeout 20 openssl s_client -connect 127.0.0.1:{} -CAfile {} -cert {} -key {} {} </dev/null >{} 2>&1",
        gateway_->port(), file("ca", authority_.root_pem), file("crt", dev1_.certificate_pem),
        file("key", dev1_.key_pem), options, out);
    EXPECT_NE(std::system(command.c_str()), -1);
    std::ifstream read(out, std::ios::binary);
    return {std::istreambuf_iterator<char>(read), {}};
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, EndpointOfGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(EndpointOfGatewayTest, TheNamesOfMqttAreNegotiatedWhenOffered) {
  start();
  for (const std::string tls : {"-tls1_2", "-tls1_3"}) {
    EXPECT_THAT(s_client(tls + " -alpn x-amzn-mqtt-ca"), HasSubstr("ALPN protocol: x-amzn-mqtt-ca"));
    EXPECT_THAT(s_client(tls + " -alpn h2,mqtt"), HasSubstr("ALPN protocol: mqtt"));
    const std::string without = s_client(tls);
    EXPECT_THAT(without, HasSubstr("No ALPN negotiated"));
    EXPECT_THAT(without, HasSubstr("Verify return code: 0 (ok)"));
  }
}

TEST_P(EndpointOfGatewayTest, WhoOffersOthersOnlyIsRefused) {
  start();
  for (const std::string tls : {"-tls1_2", "-tls1_3"}) {
    EXPECT_THAT(s_client(tls + " -alpn h2,http/1.1"), HasSubstr("no application protocol"));
  }
  EXPECT_TRUE(eventually([&] { return counters_.refused("handshake").value() == 2; }));
}

TEST_P(EndpointOfGatewayTest, FromABalancerAHeaderComesFirst) {
  config_.proxy_from = {*net::AddressRange::parse("127.0.0.0/8")};
  start();
  EXPECT_EQ(client(dev1_)->connect("dev1"), -1) << "TLS without a header";
  EXPECT_TRUE(eventually([&] { return counters_.refused("proxy-header").value() == 1; }));
}

TEST_P(EndpointOfGatewayTest, FromElsewhereNoHeaderIsWanted) {
  config_.proxy_from = {*net::AddressRange::parse("10.0.0.0/8")};
  start();
  EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
}

}  // namespace
}  // namespace fleetward::gateway
