#include "log/log.hpp"

#include <gtest/gtest.h>

namespace fleetward::log {
namespace {

TEST(Log, JsonLineIsEscapedAndTyped) {
  EXPECT_EQ(format_line(Format::json, Level::warn, "session_cut", {{"thing", "a\"b\n"}, {"count", 3}, {"ok", true}}),
            R"("level":"warn","event":"session_cut","thing":"a\"b\\x0a","count":3,"ok":true)");
}

TEST(Log, TextLineQuotesWhatHasSpaces) {
  EXPECT_EQ(format_line(Format::text, Level::info, "started", {{"role", "gateway"}, {"why", "it was asked"}}),
            "info  started role=gateway why=\"it was asked\"");
}

TEST(Log, LevelsByName) {
  EXPECT_EQ(*parse_level("debug"), Level::debug);
  EXPECT_FALSE(parse_level("verbose").ok());
}

TEST(Log, GoesIntoATestsSink) {
  std::vector<std::string> lines;
  set_sink([&lines](const std::string& line) { lines.push_back(line); });
  info("something_happened", {{"count", 3}});
  set_sink({});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], "info  something_happened count=3");
}

}  // namespace
}  // namespace fleetward::log
