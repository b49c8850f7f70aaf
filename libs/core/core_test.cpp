#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/fault.hpp"
#include "core/result.hpp"
#include "core/text.hpp"
#include "core/time.hpp"

namespace fleetward {
namespace {

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = 7;
  const Result<int> bad(ErrorCode::not_found, "no such thing");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(*good, 7);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().code, ErrorCode::not_found);
  EXPECT_EQ(bad.value_or(3), 3);
}

TEST(ResultDeathTest, ReadingTheWrongSideEndsTheProcess) {
  const Result<int> bad(ErrorCode::internal, "x");
  EXPECT_DEATH((void)bad.value(), "");
}

TEST(Error, ContextComesFirst) {
  EXPECT_EQ(Error(ErrorCode::unavailable, "refused").with_context("connect").message, "connect: refused");
  EXPECT_TRUE(is_retryable(ErrorCode::unavailable));
  EXPECT_FALSE(is_retryable(ErrorCode::fenced));
  EXPECT_EQ(http_status(ErrorCode::throttled), 429);
}

TEST(Time, Rfc3339RoundTrips) {
  const Instant t = instant_from_ms(1'790'000'000'123);
  EXPECT_EQ(to_rfc3339(t), "2026-09-21T14:13:20.123Z");
  EXPECT_EQ(*parse_rfc3339(to_rfc3339(t)), t);
  EXPECT_EQ(*parse_rfc3339("2026-09-21T16:13:20.1239+02:00"), t);
  EXPECT_EQ(*parse_rfc3339("1970-01-01T00:00:00Z"), instant_from_ms(0));
}

TEST(Time, RefusesWhatIsNotATime) {
  for (const char* text : {"", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00", "yesterday",
                           "2026-01-01T25:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00"}) {
    EXPECT_FALSE(parse_rfc3339(text).ok()) << text;
  }
}

TEST(Time, HumanWords) {
  EXPECT_EQ(to_human(Millis(412)), "412 ms");
  EXPECT_EQ(to_human(Millis(3200)), "3.2 s");
  EXPECT_EQ(to_human(Millis(250'000)), "4 min 10 s");
  EXPECT_EQ(to_human(std::chrono::hours(28)), "1 d 4 h");
}

TEST(Text, Base64ByRfc4648) {
  EXPECT_EQ(to_base64(as_bytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(to_base64(as_bytes("fooba")), "Zm9vYmE=");
  EXPECT_EQ(to_base64(as_bytes("foob")), "Zm9vYg==");
  EXPECT_EQ(as_text(*from_base64("Zm9vYg==")), "foob");
  EXPECT_FALSE(from_base64("Zm9vYh==").ok()) << "stray bits";
  EXPECT_FALSE(from_base64("Zm9").ok());
  EXPECT_FALSE(from_base64("=m9v").ok());
}

TEST(Text, HexAndPercent) {
  EXPECT_EQ(to_hex(as_bytes("\x01\xff")), "01ff");
  EXPECT_EQ(*from_hex("01FF"), (Bytes{1, 255}));
  EXPECT_FALSE(from_hex("0").ok());
  EXPECT_EQ(percent_encode("a/b c"), "a%2Fb%20c");
  EXPECT_EQ(*percent_decode("a%2Fb%20c"), "a/b c");
  EXPECT_FALSE(percent_decode("%2").ok());
}

TEST(Text, Utf8RefusesOverlongAndSurrogates) {
  EXPECT_TRUE(is_utf8("h\xC3\xA9\xF0\x9F\x98\x80"));
  EXPECT_FALSE(is_utf8("\xC0\x80"));
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));
  EXPECT_FALSE(is_utf8("\xF4\x90\x80\x80"));
  EXPECT_FALSE(is_utf8("\xE2\x82"));
}

TEST(Text, PrintableKeepsTerminalsSafe) {
  EXPECT_EQ(printable("a\x1b[31mb"), "a\\x1b[31mb");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xc2\\x9b");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

TEST(Text, SplitKeepsEmptyParts) {
  EXPECT_THAT(split("a//b", '/'), ::testing::ElementsAre("a", "", "b"));
  EXPECT_THAT(split("", '/'), ::testing::ElementsAre(""));
}

#ifdef FLEETWARD_FAULT_POINTS
TEST(Fault, IsArmedUntilItIsDisarmed) {
  EXPECT_FALSE(fault::is_armed("core.test"));
  fault::arm("core.test");
  EXPECT_TRUE(fault::is_armed("core.test"));
  EXPECT_FALSE(fault::is_armed("core.other"));
  EXPECT_THAT(fault::armed(), ::testing::ElementsAre("core.test"));
  fault::disarm("core.test");
  EXPECT_FALSE(fault::is_armed("core.test"));
  EXPECT_THAT(fault::armed(), ::testing::IsEmpty());
}
#endif

}  // namespace
}  // namespace fleetward
