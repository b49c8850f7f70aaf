#include "options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetsim {
namespace {

using testing::HasSubstr;

const std::map<std::string, std::string> environment{
    {"MQTT_HOST", "gateway"}, {"MQTT_PORT", "1884"}, {"CA_FILE", "/ca"}, {"DEVICES_DIR", "/devices"}};

TEST(Options, FlagsBeatTheEnvironment) {
  const auto options =
      parse_options({"--port", "9", "--interval=0.5", "--attack", "a,b", "--attack-after=3", "--quiet"}, environment);
  ASSERT_TRUE(options.ok()) << options.error().message;
  EXPECT_EQ(options->host, "gateway");
  EXPECT_EQ(options->port, 9);
  EXPECT_EQ(options->interval, Millis(500));
  EXPECT_THAT(options->attacked, testing::ElementsAre("a", "b"));
  EXPECT_EQ(options->attack_after, Millis(3000));
  EXPECT_TRUE(options->quiet);
}

TEST(Options, ReportsOfAnAttackAreRanges) {
  const auto options = parse_options({"--attack", "a", "--attack-reports", "4-7,12"}, environment);
  ASSERT_TRUE(options.ok()) << options.error().message;
  ASSERT_EQ(options->attack_reports.size(), 2U);
  EXPECT_EQ(options->attack_reports[0].first, 4);
  EXPECT_EQ(options->attack_reports[0].last, 7);
  EXPECT_EQ(options->attack_reports[1].first, 12);
  EXPECT_EQ(options->attack_reports[1].last, 12);
  for (const char* bad : {"", "7-4", "0-3", "4-", "-4", "a"}) {
    EXPECT_FALSE(parse_options({"--attack-reports", bad}, environment)) << bad;
  }
}

TEST(Options, WrongOnesAreToldByName) {
  const auto told = [](const std::vector<std::string>& words) {
    const auto options = parse_options(words, environment);
    return options ? std::string() : options.error().message;
  };
  EXPECT_THAT(told({"--port", "70000"}), HasSubstr("--port must be a number from 1 to 65535"));
  EXPECT_THAT(told({"--interval", "nan"}), HasSubstr("--interval"));
  EXPECT_THAT(told({"--prot", "1"}), HasSubstr("'--prot'"));
  EXPECT_THAT(told({"--port"}), HasSubstr("needs a value"));
  EXPECT_THAT(told({"extra"}), HasSubstr("'extra'"));
  EXPECT_FALSE(parse_options({}, {}));
  EXPECT_TRUE(parse_options({"--help"}, {})->help);
}

}  // namespace
}  // namespace fleetsim
