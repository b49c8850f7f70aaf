// Certificate, key and trusted authorities that change while sessions are open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TlsOfGatewayTest : public GatewayTest {
 protected:
  Identity server(Authority& authority) {
    return authority.make({.purpose = pki::Purpose::server, .common_name = "gateway", .ip_addresses = {"127.0.0.1"}});
  }
  net::TlsMaterial material(Authority& shown, const Authority& trusted) {
    const Identity identity = server(shown);
    return {identity.certificate_pem + shown.issuing_pem, identity.key_pem, trusted.issuing_pem + trusted.root_pem};
  }
  // A device that trusts `authority` for its server.
  std::unique_ptr<Client> client_of(const Authority& authority, const Identity& who) {
    return std::make_unique<Client>(client_loop_, gateway_->port(), authority.root_pem, who, GetParam());
  }
  // Its identity in the table, whoever issued the certificate.
  Identity enrol_by(Authority& authority, const std::string& thing) {
    const Identity who = authority.device(thing);
    set_certificate(who, thing, fleet::CertificateStatus::active, 1);
    return who;
  }
  Authority other_;
};
INSTANTIATE_TEST_SUITE_P(Versions, TlsOfGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(TlsOfGatewayTest, NewHandshakesGetTheNewCertificateAndSessionsStay) {
  start();
  const auto session = client(dev1_);
  ASSERT_EQ(session->connect("dev1"), 0);
  EXPECT_FALSE(client_of(other_, dev2_)->opened()) << "it is not of the other authority yet";
  ASSERT_TRUE(gateway_->set_tls(material(other_, authority_)).ok());
  EXPECT_TRUE(session->is_alive());
  EXPECT_FALSE(client(dev2_)->opened()) << "the old certificate is not shown any more";
  EXPECT_EQ(client_of(other_, dev2_)->connect("dev2"), 0);
  EXPECT_TRUE(session->is_alive());
}

TEST_P(TlsOfGatewayTest, WhomItTrustsIsSwappedWithIt) {
  start();
  const Identity theirs = enrol_by(other_, "dev3");
  const auto session = client(dev1_);
  ASSERT_EQ(session->connect("dev1"), 0);
  EXPECT_EQ(client(theirs)->connect("dev3"), -1);
  ASSERT_TRUE(gateway_->set_tls(material(authority_, other_)).ok());
  EXPECT_EQ(client(theirs)->connect("dev3"), 0);
  EXPECT_EQ(client(dev2_)->connect("dev2"), -1) << "its authority is trusted no more";
  EXPECT_TRUE(session->is_alive()) << "a session is cut by its certificate's standing, not by this";
}

TEST_P(TlsOfGatewayTest, WhatIsNoGoodLeavesTheOldInForce) {
  start();
  const net::TlsMaterial good = material(other_, other_);
  net::TlsMaterial other_key = good;
  other_key.private_key_pem = server(other_).key_pem;
  net::TlsMaterial cut = good;
  cut.certificate_chain_pem.resize(cut.certificate_chain_pem.size() - 20);
  net::TlsMaterial nobody = good;
  nobody.client_ca_pem.clear();
  for (const net::TlsMaterial& bad : {other_key, cut, nobody, net::TlsMaterial{}}) {
    const Status set = gateway_->set_tls(bad);
    ASSERT_FALSE(set.ok());
    EXPECT_THAT(set.error().message, Not(HasSubstr("BEGIN")));
    EXPECT_EQ(client(dev1_)->connect("dev1"), 0);
  }
}

TEST_P(TlsOfGatewayTest, BeforeTheListenerIsOpenItIsKeptForIt) {
  bus_.read_fails = true;
  gateway_ = std::make_unique<Gateway>(config_, bus_, gateway_loop_, metrics_);
  ASSERT_TRUE(gateway_->start().ok());
  ASSERT_TRUE(gateway_->set_tls(material(other_, authority_)).ok());
  EXPECT_EQ(gateway_->port(), 0);
  bus_.read_fails = false;
  ASSERT_TRUE(eventually([&] { return gateway_->ready().ok(); }));
  EXPECT_EQ(client_of(other_, dev1_)->connect("dev1"), 0);
}

}  // namespace
}  // namespace fleetward::gateway
