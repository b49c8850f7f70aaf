#include "mqtt/topic.hpp"

#include <gtest/gtest.h>

namespace fleetward::mqtt {
namespace {

TEST(Topic, MatchesWholeLevels) {
  EXPECT_TRUE(matches("$aws/things/dev1/defender/metrics/json", "$aws/things/dev1/defender/metrics/json"));
  EXPECT_FALSE(matches("$aws/things/dev1/defender/metrics/json", "$aws/things/dev10/defender/metrics/json"));
  EXPECT_TRUE(matches("a/+/c", "a/b/c"));
  EXPECT_FALSE(matches("a/+", "a/b/c"));
  EXPECT_TRUE(matches("a/#", "a"));
  EXPECT_TRUE(matches("a/#", "a/b/c"));
  EXPECT_FALSE(matches("#", "$SYS/x"));
  EXPECT_FALSE(matches("+/x", "$SYS/x"));
  EXPECT_TRUE(matches("a//b", "a//b"));
  EXPECT_FALSE(matches("a/b", "a"));
  EXPECT_TRUE(is_topic_filter("a/+/#"));
  EXPECT_FALSE(is_topic_filter("a/#/b"));
  EXPECT_FALSE(is_topic_filter("a+"));
}

TEST(Topic, NamesAreBounded) {
  EXPECT_TRUE(is_topic_name(std::string(65'535, 't')));
  EXPECT_FALSE(is_topic_name(std::string(65'536, 't')));
  EXPECT_FALSE(is_topic_name(""));
  EXPECT_FALSE(is_topic_name(std::string("a\0b", 3)));
  EXPECT_TRUE(is_topic_filter(std::string(65'535, 't')));
  EXPECT_FALSE(is_topic_filter(std::string(65'536, 't')));
  EXPECT_FALSE(is_topic_filter(""));
}

}  // namespace
}  // namespace fleetward::mqtt
