#include "json/json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::json {
namespace {

using ::testing::HasSubstr;

TEST(Json, RefusesWhatIsHostile) {
  EXPECT_TRUE(parse(R"({"a":[1,{"b":null}]})").ok());
  EXPECT_FALSE(parse(R"({"a":1,"a":2})").ok());
  EXPECT_FALSE(parse(R"({"a":1} x)").ok());
  EXPECT_FALSE(parse("{\"a\":\"\xff\"}").ok());
  EXPECT_FALSE(parse("").ok());
  EXPECT_FALSE(parse(std::string(200, '[') + std::string(200, ']')).ok());
  EXPECT_EQ(parse("123456", {.bytes_max = 5}).error().code, ErrorCode::resource_exhausted);
}

// The library takes a NUL for the text's end and would leave what stands behind it unread.
TEST(Json, RefusesTextBehindANul) {
  for (const std::string_view text : {std::string_view("{}\0", 3), std::string_view("{\"a\":1}\0{\"a\":2}", 15),
                                      std::string_view("\0{}", 3), std::string_view("{\"a\":\"\0\"}", 9)}) {
    EXPECT_FALSE(parse(text).ok()) << text;
  }
  EXPECT_TRUE(parse(R"({"a":"\u0000"})").ok());
}

TEST(Json, SameKeyInSiblingsIsFine) { EXPECT_TRUE(parse(R"([{"a":1},{"a":2},{"b":{"a":1},"a":3}])").ok()); }

TEST(Reader, TellsAllProblemsAtOnce) {
  const Value value = *parse(R"({"name":"","count":99,"flag":"yes","odd":1})");
  Reader r(value, "behavior");
  r.text("name", 1, 128);
  r.integer("count", 1, 10);
  r.boolean_or("flag", false);
  r.text("metric");
  r.refuse_unknown();
  const Status status = r.finish();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("behavior.name has 0 bytes"));
  EXPECT_THAT(status.error().message, HasSubstr("behavior.count 99 should be in range [1,10]"));
  EXPECT_THAT(status.error().message, HasSubstr("behavior.flag is not true or false"));
  EXPECT_THAT(status.error().message, HasSubstr("behavior.metric is missing"));
  EXPECT_THAT(status.error().message, HasSubstr("behavior.odd is not known"));
}

TEST(Reader, HugeIntegersAreNotWrapped) {
  const Value value = *parse(R"({"n":18446744073709551615,"f":1.0})");
  Reader r(value, "");
  r.optional_integer("n", -10, 10);
  r.optional_integer("f", -10, 10);
  EXPECT_FALSE(r.finish().ok());
}

}  // namespace
}  // namespace fleetward::json
