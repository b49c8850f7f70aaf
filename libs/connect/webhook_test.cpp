// Signatures against the specification's own example, secrets, and what answers are worth.
#include "connect/webhook.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::connect {
namespace {

using testing::HasSubstr;

// The vector that the specification's reference libraries test with.
TEST(WebhookSignature, IsThatOfTheSpecification) {
  const auto secrets = read_webhook_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
  ASSERT_TRUE(secrets.ok()) << secrets.error().message;
  EXPECT_EQ(webhook_signatures(*secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(WebhookSignature, OneASecretWhileItIsBeingChanged) {
  const auto secrets =
      read_webhook_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n\n  whsec_" + std::string(32, 'A') + "\n");
  ASSERT_TRUE(secrets.ok());
  EXPECT_THAT(webhook_signatures(*secrets, "m", 1, "{}"), testing::MatchesRegex("v1,[^ ]{44} v1,[^ ]{44}"));
}

TEST(WebhookSecrets, OnesThatAreNoneAreToldWithoutBeingShown) {
  for (const std::string& bad :
       {std::string(), std::string("\n"), std::string("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), std::string("whsec_short"),
        "whsec_" + std::string(31, '!'), "whsec_" + std::string(92, 'A')}) {
    const auto read = read_webhook_secrets(bad);
    ASSERT_FALSE(read.ok()) << bad;
    EXPECT_THAT(read.error().message, testing::Not(HasSubstr("MfKQ")));
  }
  std::string many;
  for (int i = 0; i < 5; ++i) many += "whsec_" + std::string(32, 'A') + "\n";
  EXPECT_EQ(read_webhook_secrets(many).error().code, ErrorCode::resource_exhausted);
}

TEST(WebhookOpen, PlainHttpOnlyWhereTheOperatorSaysSo) {
  const std::vector<Bytes> secrets{Bytes(32, 1)};
  EXPECT_FALSE(Webhook::open({.url = "http://x.test", .secrets = secrets}).ok());
  EXPECT_TRUE(Webhook::open({.url = "http://x.test", .secrets = secrets, .allow_private = true}).ok());
  EXPECT_FALSE(Webhook::open({.url = "http://x.test", .allow_private = true}).ok());
  EXPECT_FALSE(Webhook::open({.url = "ftp://x.test", .secrets = secrets, .allow_private = true}).ok());
  EXPECT_FALSE(Webhook::open({.url = "https://x.test", .secrets = secrets}).ok()) << "nobody to trust";
}

TEST(WebhookOutcome, WhatAnAnswerIsWorth) {
  const auto of = [](int status, std::string wait = "") {
    http::Response response = http::text_response(status, "said\x1b");
    if (!wait.empty()) response.headers.push_back({"retry-after", wait});
    return webhook_outcome(response);
  };
  for (const int good : {200, 202, 204, 299}) EXPECT_TRUE(of(good).status.ok()) << good;
  for (const int final : {400, 410, 413, 415, 422}) EXPECT_TRUE(of(final).is_final) << final;
  for (const int again : {301, 307, 401, 403, 404, 408, 429, 500, 503}) {
    EXPECT_FALSE(of(again).status.ok()) << again;
    EXPECT_FALSE(of(again).is_final) << again;
  }
  EXPECT_FALSE(of(500).is_away) << "another message may fare better";
  EXPECT_TRUE(of(503).is_away);
  EXPECT_EQ(of(429, "7").retry_after, Millis(7'000));
  EXPECT_EQ(of(503, "99999999").retry_after, Millis(3'600'000));
  EXPECT_EQ(of(503, "soon").retry_after, std::nullopt);
  EXPECT_THAT(of(500).status.error().message, HasSubstr("said\\x1b"));
}

}  // namespace
}  // namespace fleetward::connect
