// Keys that records are signed with, as files: made, kept, refused, watched, and what the doctor says of them.
#include "services/fleetward/signing_keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "fleet/topics.hpp"
#include "json/json.hpp"
#include "services/fleetward/doctor.hpp"
#include "services/fleetward/files.hpp"
#include "services/fleetward/signers_watch.hpp"

namespace fleetward::program {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class SigningKeysTest : public ::testing::Test {
 protected:
  SigningKeysTest() : folder_(testing::TempDir() + "signing_" + std::to_string(::getpid())) { fs::remove_all(folder_); }
  ~SigningKeysTest() override { fs::remove_all(folder_); }
  void SetUp() override { ASSERT_TRUE(make_signing_keys(folder_).ok()); }

  std::string text(std::string_view name) { return *read_file(signing_folder(folder_) + "/" + std::string(name)); }
  Result<std::string> sign(const std::vector<std::string>& roles, std::string_view topic) {
    const auto signer = read_signer(folder_, roles);
    if (!signer) return signer.error();
    return (*signer)->sign(topic, "dev1", "1", "{}");
  }
  std::string ills() {
    Settings settings;
    settings.installation.data_dir = folder_;
    Findings findings;
    examine_signing(settings, findings);
    std::string out;
    for (const Finding& f : findings.all) {
      if (f.health != Health::ok) out += fmt::format("{} {}: {}\n", to_string(f.health), f.check, f.found);
    }
    return out;
  }
  const std::string folder_;
};

TEST_F(SigningKeysTest, ASecondInitKeepsWhatIsThere) {
  const std::string key = text("responder.key"), list = text("signers.json");
  ASSERT_TRUE(make_signing_keys(folder_).ok());
  EXPECT_EQ(text("responder.key"), key);
  EXPECT_EQ(text("signers.json"), list);
  EXPECT_EQ(fs::status(signing_key_path(folder_, "responder")).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(ills(), "");
}

TEST_F(SigningKeysTest, EachRoleSignsWhatItDecides) {
  const auto signers = read_signers(folder_);
  ASSERT_TRUE(signers.ok());
  for (const std::string role : {"api", "responder"}) {
    const auto signature = sign({role}, fleet::topic::access);
    ASSERT_TRUE(signature.ok()) << role;
    EXPECT_EQ((*signers)->check({fleet::topic::access, "dev1", "1", "{}"}, *signature), access::Verdict::good) << role;
  }
  EXPECT_EQ(sign({"pki"}, fleet::topic::access).error().code, ErrorCode::failed_precondition);
  EXPECT_TRUE(sign({"pki"}, fleet::topic::certificates).ok());
  EXPECT_EQ(sign({"historian"}, fleet::topic::certificates).error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(*sign({"historian"}, fleet::topic::rules), "") << "no topic whose records are signed";
}

TEST_F(SigningKeysTest, AKeyThatIsChangedStandsBesideTheOldOne) {
  fs::remove(signing_key_path(folder_, "pki"));
  EXPECT_THAT(sign({"pki"}, fleet::topic::certificates).error().message, HasSubstr("fleetward init"));
  ASSERT_TRUE(make_signing_keys(folder_).ok());
  EXPECT_THAT((*read_signers(folder_))->all(), SizeIs(4));
  EXPECT_TRUE(sign({"pki"}, fleet::topic::certificates).ok());
}

TEST_F(SigningKeysTest, WhatCannotBeUsedIsToldWithAdvice) {
  fs::permissions(signing_key_path(folder_, "api"), fs::perms::others_read, fs::perm_options::add);
  EXPECT_THAT(sign({"api"}, fleet::topic::access).error().message, HasSubstr("chmod 600"));
  EXPECT_THAT(ills(), HasSubstr("fail api.key"));
  EXPECT_TRUE(sign({"responder"}, fleet::topic::access).ok()) << "that one's key is another's";
  const std::string other = crypto::PrivateKey::generate()->to_pem();
  ASSERT_TRUE(write_file(signing_key_path(folder_, "responder"), other, Secrecy::secret).ok());
  EXPECT_THAT(sign({"responder"}, fleet::topic::access).error().message, HasSubstr("not listed"));
  EXPECT_THAT(ills(), HasSubstr("fail responder.key"));
  ASSERT_TRUE(write_file(signers_path(folder_), "{}", Secrecy::open).ok());
  EXPECT_FALSE(make_signing_keys(folder_).ok()) << "a list that is none is not written over";
  EXPECT_THAT(ills(), HasSubstr("fail signers.json"));
}

TEST_F(SigningKeysTest, AListThatChangedIsTakenWhenItIsGood) {
  std::vector<SharedSigners> taken;
  SignersWatch watch(folder_, [&taken](SharedSigners signers) { taken.push_back(std::move(signers)); });
  const auto look = [&watch] {
    watch.look();
    watch.look();
  };
  look();
  EXPECT_THAT(taken, SizeIs(0));
  const std::string before = text("signers.json");
  ASSERT_TRUE(write_file(signers_path(folder_), "{\"signers\": 1}", Secrecy::open).ok());
  look();
  EXPECT_TRUE(watch.is_stale());
  EXPECT_THAT(taken, SizeIs(0));
  ASSERT_TRUE(write_file(signers_path(folder_), before, Secrecy::open).ok());
  look();
  EXPECT_FALSE(watch.is_stale());
  EXPECT_THAT(taken, SizeIs(0)) << "it is what is in force";
  fs::remove(signing_key_path(folder_, "pki"));
  ASSERT_TRUE(make_signing_keys(folder_).ok());
  look();
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_THAT(taken[0]->all(), SizeIs(4));
}

}  // namespace
}  // namespace fleetward::program
