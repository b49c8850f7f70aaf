// A certificate that is renewed under a running server.
#include <gmock/gmock.h>

#include <array>
#include <cstdio>

#include "pki/certificate.hpp"
#include "services/api/test_world.hpp"

namespace fleetward::api {
namespace {

// What openssl's client is shown.
std::string shown_at(std::uint16_t port) {
  FILE* pipe = ::popen(
      fmt::format("timeout 20 openssl s_client -connect 127.0.0.1:{} </dev/null 2>/dev/null", port).c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  ::pclose(pipe);
  const auto info = pki::read_certificate(out.substr(std::min(out.size(), out.find("-----BEGIN"))));
  return info ? info->serial : info.error().message;
}

TEST_F(ApiTest, ARenewedCertificateIsShownToNewConnections) {
  const auto make = [this](const crypto::PrivateKey& key) {
    const Instant now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
    return *pki::make_root(key, "renewed", now, std::chrono::hours(1), random_);
  };
  const auto key = *crypto::PrivateKey::generate();
  const auto other_key = *crypto::PrivateKey::generate();
  const std::string certificate = make(key);
  const std::string before = shown_at(api_->port());
  for (const net::TlsMaterial& bad :
       {net::TlsMaterial{certificate, other_key.to_pem(), {}}, net::TlsMaterial{"nonsense", key.to_pem(), {}}}) {
    EXPECT_FALSE(api_->set_tls(bad).ok());
    EXPECT_EQ(shown_at(api_->port()), before);
    EXPECT_EQ(call("GET", "/v1/things").status, 200);
  }
  ASSERT_TRUE(api_->set_tls({certificate, key.to_pem(), {}}).ok());
  EXPECT_EQ(shown_at(api_->port()), pki::read_certificate(certificate)->serial);
}

}  // namespace
}  // namespace fleetward::api
