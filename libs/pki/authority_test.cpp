// Authorities of others and their devices' certificates, as openssl makes them: which are taken, and the words for
// those that are not.
#include "pki/authority.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "pki/openssl_ca.hpp"

namespace fleetward::pki {
namespace {

using ::testing::HasSubstr;
using testing_support::OpensslCa;

class AuthorityTest : public ::testing::Test {
 protected:
  AuthorityTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "authority-").string() + std::string(6, 'X');
    folder_ = ::mkdtemp(pattern.data());
  }
  ~AuthorityTest() override { std::filesystem::remove_all(folder_); }
  std::string folder(const std::string& name) const { return folder_ + "/" + name; }
  OpensslCa with(const std::string& name, const std::string& key, const std::string& extensions,
                 const std::string& more = "-days 3650") const {
    return OpensslCa(folder(name), "/CN=" + name, key, extensions, more);
  }
  std::string words(const std::string& pem, Millis later = Millis(0)) const {
    const auto read = read_authority(pem, now_ + later);
    return read.ok() ? "taken" : read.error().message;
  }
  std::string device_words(const std::string& pem) const {
    const auto read = read_device_certificate(pem, now_);
    return read.ok() ? "taken" : read.error().message;
  }
  const std::string ec_ = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
  const std::string ca_ = "basicConstraints=critical,CA:TRUE\n";
  // Later than openssl has made any of them.
  Instant now_ = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()) + std::chrono::minutes(5);
  std::string folder_;
};

TEST_F(AuthorityTest, OneThatMaySign) {
  const OpensslCa ca(folder("acme"), "/O=Acme/CN=Acme devices");
  const auto read = read_authority("words\n" + ca.pem(), now_);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->subject, "CN=Acme devices,O=Acme");
  EXPECT_TRUE(read->signs_crl);
  EXPECT_EQ(read->certificate.fingerprint, read_certificate(ca.pem())->fingerprint);
  EXPECT_EQ(read_certificate(read->pem)->fingerprint, read->certificate.fingerprint);
  EXPECT_EQ(read->key_id, *key_id_of(ca.pem()));
  EXPECT_EQ(words(with("unsaid", ec_, ca_).pem()), "taken") << "no key usage: all of them";
  EXPECT_FALSE(read_authority(with("signs", ec_, ca_ + "keyUsage=keyCertSign\n").pem(), now_)->signs_crl);
  for (const std::string key : {"-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
                                "-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "-algorithm ED25519"})
    EXPECT_EQ(words(with(std::to_string(key.size()), key, ca_).pem()), "taken") << key;
}

TEST_F(AuthorityTest, WhatMayNotSignIsToldWhy) {
  const OpensslCa ca(folder("acme"));
  EXPECT_THAT(words("nothing"), HasSubstr("not a certificate in PEM"));
  EXPECT_THAT(words(ca.pem() + ca.pem()), HasSubstr("more than one certificate"));
  EXPECT_THAT(words(ca.issue("device")), HasSubstr("no authority's"));
  EXPECT_THAT(words(with("leaf", ec_, "basicConstraints=CA:FALSE\n").pem()), HasSubstr("basicConstraints"));
  EXPECT_THAT(words(with("usage", ec_, ca_ + "keyUsage=cRLSign\n").pem()), HasSubstr("keyCertSign"));
  EXPECT_THAT(words(with("servers", ec_, ca_ + "extendedKeyUsage=serverAuth\n").pem()), HasSubstr("TLS clients"));
  EXPECT_THAT(words(with("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", ca_).pem()), HasSubstr("1024 bits"));
  EXPECT_THAT(words(with("curve", "-algorithm EC -pkeyopt ec_paramgen_curve:P-224", ca_).pem()), HasSubstr("curve"));
  EXPECT_THAT(words(ca.pem(), std::chrono::hours(24 * 3651)), HasSubstr("expired"));
  EXPECT_THAT(words(ca.pem(), -std::chrono::hours(24)), HasSubstr("not valid yet"));
}

TEST_F(AuthorityTest, DevicesCertificates) {
  const OpensslCa ca(folder("acme"));
  EXPECT_EQ(device_words(ca.issue("good")), "taken");
  EXPECT_EQ(device_words(ca.issue("bare", "", "bare")), "taken");
  EXPECT_THAT(device_words(ca.pem()), HasSubstr("authority's"));
  EXPECT_THAT(device_words(ca.issue("server", "", "server")), HasSubstr("TLS clients"));
  EXPECT_THAT(device_words(ca.issue("old", "", "leaf", "-startdate 20200101000000Z -enddate 20200201000000Z")),
              HasSubstr("expired"));
  EXPECT_THAT(device_words(ca.issue("sha1", "", "leaf", "-md sha1")), HasSubstr("too weak"));
  // A probe lives minutes: only then its name would make it one.
  const auto minute = [this](int n) {
    const std::time_t t = std::chrono::system_clock::to_time_t(now_ + std::chrono::minutes(n));
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y%m%d%H%M%SZ", std::gmtime(&t));
    return std::string(text.data());
  };
  EXPECT_THAT(
      device_words(ca.issue("probe", "", "probe", fmt::format("-startdate {} -enddate {}", minute(-2), minute(5)))),
      HasSubstr("probe"));
}

TEST_F(AuthorityTest, IssuersAreToldApartByTheirKey) {
  const OpensslCa one(folder("one"), "/CN=Same"), two(folder("two"), "/CN=Same");
  const std::string leaf = one.issue("device", "", "bare");
  EXPECT_TRUE(is_issued_by(leaf, one.pem()));
  EXPECT_FALSE(is_issued_by(leaf, two.pem()));
}

}  // namespace
}  // namespace fleetward::pki
