#include "access/record_signature.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text.hpp"
#include "fleet/topics.hpp"

namespace fleetward::access {
namespace {

using fleet::topic::certificates;
using ::testing::HasSubstr;

constexpr std::string_view holds = fleet::topic::access;

RecordKey new_key() { return RecordKey(*crypto::PrivateKey::generate()); }

class RecordSignature : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(signers_.add("responder", responder_.public_key()).ok());
    ASSERT_TRUE(signers_.add("pki", pki_.public_key()).ok());
  }
  const SignedContent content_{holds, "dev1", "7", R"({"holds":[]})"};
  const RecordKey responder_ = new_key(), pki_ = new_key();
  Signers signers_;
};

TEST_F(RecordSignature, EachReasonForWhichARecordIsRefused) {
  const std::string good = *responder_.sign(content_);
  EXPECT_EQ(signers_.check(content_, good), Verdict::good);
  EXPECT_EQ(signers_.check(content_, std::nullopt), Verdict::unsigned_record);
  EXPECT_EQ(signers_.check(content_, *new_key().sign(content_)), Verdict::unknown_key);
  EXPECT_EQ(signers_.check(content_, *pki_.sign(content_)), Verdict::wrong_role) << "it issues, and holds nobody";
  EXPECT_EQ(signers_.check({certificates, "dev1", "7", "{}"}, *pki_.sign({certificates, "dev1", "7", "{}"})),
            Verdict::good);
  for (const std::string& text :
       {std::string(), std::string(":"), std::string("no signature"), good.substr(0, 33), good + " "})
    EXPECT_EQ(signers_.check(content_, text), Verdict::bad_signature) << text;
}

TEST_F(RecordSignature, NothingOfARecordCanBeChanged) {
  const std::string good = *responder_.sign(content_);
  const SignedContent changed[] = {{certificates, content_.key, content_.version, content_.value},
                                   {content_.topic, "dev2", content_.version, content_.value},
                                   {content_.topic, content_.key, "8", content_.value},
                                   {content_.topic, content_.key, content_.version, R"({"holds":[1]})"},
                                   {content_.topic, "dev", "17", content_.value},
                                   {content_.topic, "dev17", "", content_.value}};
  for (const SignedContent& c : changed) EXPECT_EQ(signers_.check(c, good), Verdict::bad_signature) << c.key;
  std::string other = good;
  other.replace(0, 32, pki_.id());
  EXPECT_EQ(signers_.check(content_, other), Verdict::wrong_role);
}

TEST_F(RecordSignature, WhatIsKnownIsNotJudgedAgainButItsKeyIs) {
  // A signature that is none tells whether it was looked at.
  const std::string text = to_text({responder_.id(), {1, 2, 3}});
  const RecordMarks known{mark_of(content_, text)};
  EXPECT_EQ(signers_.check(content_, text), Verdict::bad_signature);
  EXPECT_EQ(signers_.check(content_, text, &known), Verdict::good);
  EXPECT_EQ(signers_.check({holds, "dev2", "7", content_.value}, text, &known), Verdict::bad_signature);
  Signers others;
  ASSERT_TRUE(others.add("pki", pki_.public_key()).ok());
  EXPECT_EQ(others.check(content_, text, &known), Verdict::unknown_key);
}

TEST_F(RecordSignature, TheListOfSignersIsReadAsItWasWritten) {
  const auto read = Signers::from_json(signers_.to_json());
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->to_json(), signers_.to_json());
  EXPECT_EQ(read->check(content_, *responder_.sign(content_)), Verdict::good);
  ASSERT_TRUE(signers_.add("responder", responder_.public_key()).ok()) << "again is no error";
  EXPECT_EQ(signers_.all().size(), 2U);
}

TEST_F(RecordSignature, AListThatIsNoneIsRefused) {
  const auto refused = [this](const std::function<void(json::Value&)>& spoil) {
    json::Value list = signers_.to_json();
    spoil(list);
    const auto read = Signers::from_json(list);
    return read.ok() ? std::string() : read.error().message;
  };
  EXPECT_EQ(refused([](json::Value&) {}), "");
  EXPECT_THAT(refused([](json::Value& v) { v["format"] = 2; }), HasSubstr("format"));
  EXPECT_THAT(refused([](json::Value& v) { v["signers"] = 1; }), HasSubstr("list"));
  EXPECT_THAT(refused([](json::Value& v) { v["signers"][1] = v["signers"][0]; }), HasSubstr("has the key of one"));
  EXPECT_THAT(refused([](json::Value& v) { v["signers"][0]["id"] = std::string(32, 'a'); }), HasSubstr("not that of"));
  EXPECT_THAT(refused([](json::Value& v) { v["signers"][0]["topics"] = {"fleetward.devices"}; }), HasSubstr("topics"));
  EXPECT_THAT(refused([](json::Value& v) { v["signers"][0]["publicKey"] = "PEM"; }), HasSubstr("publicKey"));
  EXPECT_THAT(refused([](json::Value& v) { v["signers"][0]["secret"] = "x"; }), HasSubstr("secret"));
}

TEST(RecordSignatureLimits, ThereAreSoManyKeys) {
  Signers signers;
  for (std::size_t i = 0; i < signers_max; ++i) ASSERT_TRUE(signers.add("api", new_key().public_key()).ok());
  EXPECT_EQ(signers.add("api", new_key().public_key()).error().code, ErrorCode::resource_exhausted);
  EXPECT_TRUE(Signers::from_json(signers.to_json()).ok());
}

// What is signed is on disk and on topics: it must never change.
TEST(RecordSignatureDigest, IsPinned) {
  EXPECT_EQ(to_hex(digest_of({"fleetward.access", "dev1", "7", "{}"})),
            "b871f18a0914eeafeb60ff2f333273df27ef514fd43663e0406fee7e52bf1ada");
}

}  // namespace
}  // namespace fleetward::access
