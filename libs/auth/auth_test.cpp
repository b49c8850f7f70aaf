#include <gtest/gtest.h>

#include "auth/credentials.hpp"

namespace fleetward::auth {
namespace {

TEST(Credentials, TokensAndKeysFindTheirPrincipal) {
  crypto::SeededRandom random(1);
  Credentials c;
  const std::string token = new_token(random);
  const AccessKey key = new_access_key(random);
  c.add_token(token, administrator());
  c.add_access_key(key, {"reader", {Right::read}});
  ASSERT_NE(c.by_token(token), nullptr);
  EXPECT_TRUE(c.by_token(token)->may(Right::approve));
  EXPECT_EQ(c.by_token(token + "x"), nullptr);
  EXPECT_EQ(c.by_token(""), nullptr);
  ASSERT_NE(c.by_access_key(key.id), nullptr);
  EXPECT_FALSE(c.by_access_key(key.id)->principal.may(Right::write));
  EXPECT_EQ(key.id.size(), 20U);
  EXPECT_EQ(key.secret.size(), 40U);
  EXPECT_EQ(access_key_from_json(to_json_text(key))->secret, key.secret);
  EXPECT_FALSE(access_key_from_json("{}").ok());
}

}  // namespace
}  // namespace fleetward::auth
