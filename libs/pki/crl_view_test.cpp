// Lists of others, made by openssl, and what is refused of them; held against openssl's own reader.
#include "pki/crl_view.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "pki/openssl_ca.hpp"

namespace fleetward::pki {
namespace {

using ::testing::HasSubstr;
using testing_support::OpensslCa;

class CrlViewTest : public ::testing::Test {
 protected:
  CrlViewTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "crl-view-").string() + std::string(6, 'X');
    folder_ = ::mkdtemp(pattern.data());
  }
  ~CrlViewTest() override { std::filesystem::remove_all(folder_); }
  std::string folder(const std::string& name) const { return folder_ + "/" + name; }

  static std::vector<std::string> serials(const CrlView& crl) {
    std::vector<std::string> out;
    std::size_t offset = 0;
    while (const auto entry = crl.entry_at(offset))
      out.push_back(fmt::format("{}:{}", to_hex(entry->serial), static_cast<int>(entry->reason)));
    return out;
  }
  static ErrorCode code(const std::string& der, const std::string& issuer) {
    const auto view = CrlView::open(as_bytes(der), issuer);
    EXPECT_FALSE(view.ok());
    return view.ok() ? ErrorCode::internal : view.error().code;
  }
  std::string folder_;
};

TEST_F(CrlViewTest, WhatOpensslWritesIsReadWithItsReasons) {
  const OpensslCa ca(folder("acme"));
  ca.issue("a", "0102030405060708090A0B0C0D0E0F1011121314");
  ca.issue("b", "00FF");
  ca.issue("c", "7F");
  ca.issue("d");
  ca.revoke("a");
  ca.revoke("b", "-crl_reason keyCompromise");
  ca.revoke("c", "-crl_hold holdInstructionReject");
  const std::string der = ca.crl_der();
  const auto crl = CrlView::open(as_bytes(der), ca.pem());
  ASSERT_TRUE(crl.ok()) << crl.error().message;
  EXPECT_EQ(crl->number(), "0a");
  EXPECT_EQ(crl->size(), 3U);
  EXPECT_EQ(crl->unusable(), 0U);
  EXPECT_THAT(serials(*crl),
              ::testing::UnorderedElementsAre("0102030405060708090a0b0c0d0e0f1011121314:0", "ff:1", "7f:6"));
  const auto reference = read_crl(as_bytes(der), ca.pem());
  ASSERT_TRUE(reference.ok());
  EXPECT_EQ(crl->this_update(), reference->this_update);
  EXPECT_EQ(crl->next_update(), reference->next_update);
  std::size_t offset = 0;
  while (const auto entry = crl->entry_at(offset)) EXPECT_EQ(reference->revoked.at(to_hex(entry->serial)), entry->at);
}

TEST_F(CrlViewTest, KeysOfEachKindAndVersionOne) {
  for (const std::string key : {"-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
                                "-algorithm EC -pkeyopt ec_paramgen_curve:P-384", "-algorithm ED25519"}) {
    const OpensslCa ca(folder(std::to_string(key.size())), "/CN=x", key);
    const std::string md = key.find("ED25519") == std::string::npos ? "" : " -md null";
    const std::string der = ca.crl_der("list", "-crldays 7" + md);
    const auto crl = CrlView::open(as_bytes(der), ca.pem());
    ASSERT_TRUE(crl.ok()) << key << crl.error().message;
    EXPECT_EQ(crl->size(), 0U);
    std::size_t offset = 0;
    EXPECT_FALSE(crl->entry_at(offset));
  }
  // Without a file of numbers and without extensions `openssl ca` writes version 1.
  const OpensslCa old(folder("old"));
  old.issue("a");
  old.revoke("a");
  old.run("sed -i /^crlnumber/d ca.cnf");
  const std::string der = old.crl_der("");
  const auto crl = CrlView::open(as_bytes(der), old.pem());
  ASSERT_TRUE(crl.ok()) << crl.error().message;
  EXPECT_EQ(crl->number(), "");
  EXPECT_THAT(serials(*crl), ::testing::ElementsAre("1000:0"));
}

TEST_F(CrlViewTest, OnlyTheAuthorityItselfIsBelieved) {
  const OpensslCa ca(folder("acme")), namesake(folder("namesake")), other(folder("other"), "/CN=Other");
  const std::string der = ca.crl_der();
  EXPECT_EQ(code(der, namesake.pem()), ErrorCode::permission_denied) << "the same name, another key";
  EXPECT_EQ(code(der, other.pem()), ErrorCode::permission_denied);
  const OpensslCa no_lists(folder("no-lists"), "/CN=n", "-algorithm ED25519",
                           "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n");
  const auto refused = CrlView::open(as_bytes(no_lists.crl_der("list", "-crldays 7 -md null")), no_lists.pem());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("key usage"));
  std::string changed = der;
  changed[der.size() / 2] = static_cast<char>(changed[der.size() / 2] ^ 1);
  EXPECT_FALSE(CrlView::open(as_bytes(changed), ca.pem()).ok());
  EXPECT_EQ(code(der + "x", ca.pem()), ErrorCode::invalid_argument);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, der.size() - 1})
    EXPECT_EQ(code(der.substr(0, size), ca.pem()), ErrorCode::invalid_argument);
}

TEST_F(CrlViewTest, KindsThatWouldMisleadAreRefusedClearly) {
  const OpensslCa ca(folder("acme"));
  ca.issue("a");
  ca.revoke("a");
  const auto words = [&](const std::string& section) {
    const auto view = CrlView::open(as_bytes(ca.crl_der(section)), ca.pem());
    EXPECT_TRUE(view.ok() || view.error().code == ErrorCode::unsupported);
    return view.ok() ? "taken" : view.error().message;
  };
  EXPECT_THAT(words("delta"), HasSubstr("delta CRL"));
  EXPECT_THAT(words("indirect"), HasSubstr("indirect"));
  EXPECT_THAT(words("authorities"), HasSubstr("not about devices"));
  EXPECT_THAT(words("some"), HasSubstr("some reasons"));
  EXPECT_THAT(words("unknown"), HasSubstr("critical extension"));
  EXPECT_EQ(words("partition"), "taken") << "where it is published says nothing against it";
  const OpensslCa rsa(folder("weak"), "/CN=w", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
  EXPECT_EQ(code(rsa.crl_der("list", "-crldays 7 -md sha1"), rsa.pem()), ErrorCode::unsupported);
}

TEST_F(CrlViewTest, PemIsTakenApart) {
  const OpensslCa ca(folder("acme"));
  const std::string der = ca.crl_der();
  EXPECT_FALSE(*decode_crl_pem(as_bytes(der)));
  const auto decoded = decode_crl_pem(as_bytes("words before\n" + ca.crl() + "and after"));
  ASSERT_TRUE(decoded.ok() && *decoded);
  EXPECT_TRUE(CrlView::open(**decoded, ca.pem()).ok());
  std::string windows = ca.crl();
  for (std::size_t at = 0; (at = windows.find('\n', at)) != std::string::npos; at += 2) windows.replace(at, 1, "\r\n");
  const auto of_windows = decode_crl_pem(as_bytes(windows));
  ASSERT_TRUE(of_windows.ok() && *of_windows);
  EXPECT_TRUE(CrlView::open(**of_windows, ca.pem()).ok());
  for (const std::string bad :
       {"", "hello", "-----BEGIN X509 CRL-----\nAAAA", "-----BEGIN X509 CRL-----\n!!\n-----END X509 CRL-----"})
    EXPECT_FALSE(decode_crl_pem(as_bytes(bad)).ok()) << bad;
}

TEST(CrlNumbers, AreOrderedAsNumbers) {
  EXPECT_TRUE(is_lower_number("09", "0a"));
  EXPECT_TRUE(is_lower_number("ff", "0100"));
  EXPECT_FALSE(is_lower_number("0100", "ff"));
  EXPECT_FALSE(is_lower_number("0a", "0a"));
}

// Each bit of a list turned over by itself: the signature covers all of it, or is it.
TEST_F(CrlViewTest, NoBitOfAListMayChange) {
  const OpensslCa ca(folder("acme"));
  for (const std::string name : {"a", "b"}) {
    ca.issue(name);
    ca.revoke(name, name == "a" ? "-crl_reason superseded" : "");
  }
  const std::string good = ca.crl_der();
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = good;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      EXPECT_FALSE(CrlView::open(as_bytes(changed), ca.pem()).ok()) << at << " " << bit;
    }
  }
}

}  // namespace
}  // namespace fleetward::pki
