#include "store/postgres_address.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

PostgresOptions with_tls() {
  PostgresOptions o;
  o.host = "db.example";
  o.ca_file = "/ca.pem";
  return o;
}

TEST(PostgresAddress, TheServersCertificateAndNameAreChecked) {
  const auto text = connection_string(with_tls());
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("sslmode='verify-full'"));
  EXPECT_THAT(*text, HasSubstr("sslrootcert='/ca.pem'"));
}

TEST(PostgresAddress, WithoutTlsOnlyToThisMachine) {
  PostgresOptions o = with_tls();
  o.tls = false;
  const auto refused = connection_string(o);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message, HasSubstr("db.example:5432"));
  for (const char* host : {"localhost", "127.0.0.1", "::1", "/var/run/postgresql"}) {
    o.host = host;
    EXPECT_TRUE(connection_string(o).ok()) << host;
  }
}

TEST(PostgresAddress, TlsNeedsAnAuthority) {
  PostgresOptions o = with_tls();
  o.ca_file.clear();
  EXPECT_EQ(connection_string(o).error().code, ErrorCode::invalid_argument);
}

TEST(PostgresAddress, ACertificateNeedsItsKey) {
  PostgresOptions o = with_tls();
  o.certificate_file = "/client.pem";
  EXPECT_EQ(connection_string(o).error().code, ErrorCode::invalid_argument);
  o.key_file = "/client.key";
  EXPECT_TRUE(connection_string(o).ok());
}

TEST(PostgresAddress, AValueCannotBecomeASetting) {
  PostgresOptions o = with_tls();
  o.password = "x' sslmode='disable\\";
  EXPECT_THAT(*connection_string(o), HasSubstr(R"(password='x\' sslmode=\'disable\\')"));
  EXPECT_THAT(name_of(o), Not(HasSubstr("disable")));
}

}  // namespace
}  // namespace fleetward::store
