#include "store/postgres_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(PostgresText, AParameterHasTheTypeOfItsValue) {
  const auto s = to_postgres("UPDATE t SET a=$1, b=$2, c=$3, d=$4 WHERE a=$1",
                             {std::int64_t{-7}, std::string("x"), 0.5, to_bytes("\x01\xff")});
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->text, "UPDATE t SET a=$1::bigint, b=$2::text, c=$3::double precision, d=$4::bytea WHERE a=$1::bigint");
  EXPECT_THAT(s->values, ElementsAre("-7", "x", "0.5", "\\x01ff"));
  EXPECT_TRUE(s->may_write);
}

TEST(PostgresText, NullsAreWrittenOutAndWhatIsNotUsedIsLeftOut) {
  const auto s =
      to_postgres("DELETE FROM t WHERE a=$3 AND b=$2", {std::int64_t{1}, std::monostate(), std::string("x")});
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->text, "DELETE FROM t WHERE a=$1::text AND b=NULL");
  EXPECT_THAT(s->values, ElementsAre("x"));
}

TEST(PostgresText, AMissingValueIsAFaultOfOurs) {
  EXPECT_EQ(to_postgres("DELETE FROM t WHERE a=$2", {std::int64_t{1}}).error().code, ErrorCode::internal);
}

TEST(PostgresText, ADollarInALiteralIsNoParameter) {
  const auto s = to_postgres("UPDATE t SET a='it''s $1', \"b$2\"=$1", {std::string("x")});
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->text, "UPDATE t SET a='it''s $1', \"b$2\"=$1::text");
}

TEST(PostgresText, AListHasALimit) {
  const std::string limit = fmt::format(" LIMIT {}", rows_max + 1);
  EXPECT_EQ(to_postgres("SELECT a FROM t", {})->text, "SELECT a FROM t" + limit);
  EXPECT_EQ(to_postgres("SELECT a FROM t WHERE b IN (SELECT b FROM u LIMIT 1)", {})->text,
            "SELECT a FROM t WHERE b IN (SELECT b FROM u LIMIT 1)" + limit);
  EXPECT_EQ(to_postgres("SELECT a FROM t LIMIT 1", {})->text, "SELECT a FROM t LIMIT 1");
  EXPECT_EQ(to_postgres("WITH c AS (SELECT 1) SELECT * FROM c", {})->text,
            "WITH c AS (SELECT 1) SELECT * FROM c" + limit);
  const std::string written = "WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c";
  EXPECT_EQ(to_postgres(written, {})->text, written);
  EXPECT_EQ(to_postgres("DELETE FROM t RETURNING a", {})->text, "DELETE FROM t RETURNING a");
}

TEST(PostgresText, OnlyASelectIsKnownToReadOnly) {
  EXPECT_FALSE(to_postgres("SELECT a FROM t", {})->may_write);
  EXPECT_TRUE(to_postgres("DELETE FROM t RETURNING a", {})->may_write);
  EXPECT_TRUE(to_postgres("WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c", {})->may_write);
}

TEST(PostgresText, ATextWithANulIsRefused) {
  EXPECT_EQ(to_postgres("DELETE FROM t WHERE a=$1", {std::string("a\0b", 3)}).error().code,
            ErrorCode::invalid_argument);
}

TEST(PostgresText, ValuesComeBackAsTheyAreInSqlite) {
  EXPECT_EQ(*from_postgres(16, "t"), Value(std::int64_t{1}));
  EXPECT_EQ(*from_postgres(16, "f"), Value(std::int64_t{0}));
  EXPECT_EQ(*from_postgres(20, "-9223372036854775808"), Value(std::numeric_limits<std::int64_t>::min()));
  EXPECT_EQ(*from_postgres(701, "1e-7"), Value(1e-7));
  EXPECT_EQ(*from_postgres(1700, "12"), Value(std::int64_t{12}));
  EXPECT_EQ(*from_postgres(1700, "12.5"), Value(12.5));
  EXPECT_EQ(*from_postgres(17, "\\x01ff"), Value(to_bytes("\x01\xff")));
  EXPECT_EQ(*from_postgres(25, "text"), Value(std::string("text")));
  EXPECT_EQ(from_postgres(20, "1x").error().code, ErrorCode::internal);
}

TEST(PostgresText, ASchemaKnowsItsCountedKeysAndItsBytes) {
  EXPECT_EQ(to_postgres_schema("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, der BLOB NOT NULL)"),
            "CREATE TABLE t(id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, der BYTEA NOT NULL)");
}

}  // namespace
}  // namespace fleetward::store
