// The server's certificate, key and authorities, replaced while it runs.
#include "services/fleetward/tls_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "pki/certificate.hpp"
#include "services/pki/authority_files.hpp"

namespace fleetward::program {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr Millis day = std::chrono::hours(24);

class TlsWatchTest : public testing::Test {
 protected:
  TlsWatchTest() : folder_(testing::TempDir() + "tls_watch_" + std::to_string(::getpid())) {
    std::filesystem::remove_all(folder_);
    make({"localhost"}, folder_);
  }
  ~TlsWatchTest() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::remove_all(folder_ + "_other");
  }
  void make(const std::vector<std::string>& names, const std::string& folder) {
    const Status made = pki_role::bootstrap_authority(folder, names, now_, random_);
    ASSERT_TRUE(made) << made.error().message;
  }
  // As `fleetward init` does it when the names changed.
  void renew() { make({"localhost", std::to_string(++renewals_) + ".test"}, folder_); }
  [[nodiscard]] std::string text(const std::string& name) const {
    return *pki_role::read_authority_file(folder_, name);
  }
  void write(const std::string& name, std::string_view text) {
    ASSERT_TRUE(pki_role::write_file(folder_ + "/" + name, text, name.ends_with(".key")));
  }
  // Of another authority, with its own key.
  std::string foreign(const std::string& name) {
    make({"localhost"}, folder_ + "_other");
    return *pki_role::read_authority_file(folder_ + "_other", name);
  }
  TlsWatch watch(ClientTrust trust = ClientTrust::devices) {
    return {folder_, trust, [this](const net::TlsMaterial& changed) -> Status {
              if (apply_fails_) return {ErrorCode::unavailable, "a listener does not take it"};
              applied_.push_back(changed);
              return {};
            }};
  }
  void settle(TlsWatch& tls) {
    tls.look(now_);
    tls.look(now_);
  }

  Instant now_ = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  crypto::SystemRandom random_;
  std::string folder_;
  int renewals_ = 0;
  bool apply_fails_ = false;
  std::vector<net::TlsMaterial> applied_;
};

TEST_F(TlsWatchTest, ARenewedCertificateIsTakenOnceItIsAtRest) {
  TlsWatch tls = watch();
  settle(tls);
  EXPECT_EQ(applied_.size(), 0U) << "it is what was read at the start";
  now_ += day;
  renew();
  tls.look(now_);
  EXPECT_EQ(applied_.size(), 0U) << "its other files may still be being written";
  for (int i = 0; i < 3; ++i) tls.look(now_);
  ASSERT_EQ(applied_.size(), 1U);
  EXPECT_EQ(applied_[0].certificate_chain_pem, text("server.crt"));
  const auto leaf = pki::read_certificate(text("server.crt"));
  EXPECT_THAT(tls.told(), HasSubstr(leaf->serial));
  EXPECT_THAT(tls.told(), Not(HasSubstr("key"))) << "that stayed";
  EXPECT_EQ(tls.not_after(), leaf->not_after);
  EXPECT_FALSE(tls.is_stale());
}

TEST_F(TlsWatchTest, AKeyThatDoesNotFitLeavesTheOldInForceUntilItDoes) {
  TlsWatch tls = watch();
  const std::string key = text("server.key");
  const auto before = tls.not_after();
  write("server.key", foreign("server.key"));
  settle(tls);
  EXPECT_TRUE(tls.is_stale());
  EXPECT_THAT(tls.told(), HasSubstr("does not belong"));
  EXPECT_EQ(tls.not_after(), before);
  write("server.key", key);
  settle(tls);
  EXPECT_FALSE(tls.is_stale());
  EXPECT_EQ(applied_.size(), 0U) << "it is the one in force";
}

TEST_F(TlsWatchTest, CertificateAndKeyOfOthersAreTakenTogether) {
  TlsWatch tls = watch();
  write("server.key", foreign("server.key"));
  tls.look(now_);
  write("server.crt", foreign("server.crt"));
  settle(tls);
  ASSERT_EQ(applied_.size(), 1U);
  EXPECT_FALSE(tls.is_stale());
  EXPECT_THAT(tls.told(), HasSubstr("; key"));
}

TEST_F(TlsWatchTest, NothingThatIsNoGoodIsTaken) {
  TlsWatch tls = watch();
  for (const char* name : {"server.crt", "server.key", "issuing.crt", "root.crt"}) {
    const std::string good = text(name);
    for (const std::string& bad : {std::string(), std::string("nonsense"), good.substr(0, good.size() - 100)}) {
      write(name, bad);
      settle(tls);
      EXPECT_TRUE(tls.is_stale()) << name << ": " << bad;
    }
    std::filesystem::remove(folder_ + "/" + name);
    settle(tls);
    EXPECT_TRUE(tls.is_stale()) << name << " is missing";
    EXPECT_THAT(tls.told(), HasSubstr(name));
    write(name, good);
    settle(tls);
    EXPECT_FALSE(tls.is_stale()) << tls.told();
  }
  EXPECT_EQ(applied_.size(), 0U);
}

TEST_F(TlsWatchTest, AKeyThatOthersCanReadIsTakenWhenTheyCannotAnyMore) {
  TlsWatch tls = watch();
  ::chmod((folder_ + "/server.key").c_str(), 0644);
  settle(tls);
  EXPECT_THAT(tls.told(), HasSubstr("chmod 600"));
  ::chmod((folder_ + "/server.key").c_str(), 0600);
  settle(tls);
  EXPECT_FALSE(tls.is_stale());
}

TEST_F(TlsWatchTest, AnExpiredOneIsNotTaken) {
  const std::string expired = text("server.crt");
  now_ += 91 * day;
  renew();
  TlsWatch tls = watch();
  write("server.crt", expired);
  settle(tls);
  EXPECT_TRUE(tls.is_stale());
  EXPECT_THAT(tls.told(), HasSubstr("server.crt"));
  EXPECT_THAT(tls.told(), HasSubstr("expired"));
  now_ -= 200 * day;
  tls.reload(now_);
  EXPECT_THAT(tls.told(), HasSubstr("not valid yet"));
}

TEST_F(TlsWatchTest, AnExpiredAuthorityIsRefusedAloneAndToleratedBesideAnother) {
  const auto key = crypto::PrivateKey::generate();
  const auto old = pki::make_root(*key, "Old", now_ - 10 * day, day, random_);
  TlsWatch tls = watch();
  const std::string good = text("root.crt");
  write("root.crt", *old);
  settle(tls);
  EXPECT_TRUE(tls.is_stale());
  EXPECT_THAT(tls.told(), HasSubstr("root.crt"));
  write("root.crt", *old + good);
  settle(tls);
  EXPECT_FALSE(tls.is_stale()) << tls.told();
  ASSERT_EQ(applied_.size(), 1U);
  EXPECT_EQ(tls.told(), "authorities of devices");
}

TEST_F(TlsWatchTest, WithoutDevicesTheirAuthoritiesAreNotAsked) {
  TlsWatch tls = watch(ClientTrust::none);
  std::filesystem::remove(folder_ + "/root.crt");
  tls.reload(now_);
  EXPECT_FALSE(tls.is_stale());
  EXPECT_EQ(tls.told(), "none");
}

TEST_F(TlsWatchTest, WhatAListenerDoesNotTakeIsNotInForce) {
  TlsWatch tls = watch();
  apply_fails_ = true;
  renew();
  settle(tls);
  EXPECT_TRUE(tls.is_stale());
  apply_fails_ = false;
  tls.reload(now_);
  EXPECT_FALSE(tls.is_stale());
  EXPECT_EQ(applied_.size(), 1U);
}

TEST_F(TlsWatchTest, WithoutAFolderThereIsNothingToWatch) {
  TlsWatch none("", ClientTrust::none, [](const net::TlsMaterial&) -> Status { return {}; });
  none.look(now_);
  none.reload(now_);
  EXPECT_FALSE(none.not_after());
  EXPECT_FALSE(none.is_stale());
}

}  // namespace
}  // namespace fleetward::program
