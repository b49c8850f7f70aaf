// What is told of topics that are other than they have to be.
#include "bus/kafka_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::bus {
namespace {

using testing::ElementsAre;

KafkaTopicFacts good(std::string cleanup) {
  return {.partitions = 1,
          .copies = 3,
          .settings = {{"cleanup.policy", std::move(cleanup)},
                       {"message.timestamp.type", "LogAppendTime"},
                       {"max.message.bytes", "100000000"},
                       {"min.insync.replicas", "2"},
                       {"min.compaction.lag.ms", "86400000"},
                       {"retention.ms", "2000"}}};
}

TEST(KafkaReport, TopicsThatAreAsTheyHaveToBe) {
  EXPECT_THAT(wrong_settings({"log", 1, TopicKind::log, Millis(2'000)}, good("delete")), ElementsAre());
  EXPECT_THAT(wrong_settings({"table", 1, TopicKind::table, Millis(0)}, good("compact")), ElementsAre());
}

TEST(KafkaReport, ATableWithARetentionIsCompactedSoon) {
  const TopicSpec spec{"table", 1, TopicKind::table, Millis(1'000)};
  KafkaTopicFacts facts = good("compact");
  facts.settings["min.compaction.lag.ms"] = "999";
  facts.settings["max.compaction.lag.ms"] = "5000";
  EXPECT_THAT(wrong_settings(spec, facts), ElementsAre("min.compaction.lag.ms is 999 and should be at least 1000"));
}

TEST(KafkaReport, MoreThanIsNeededIsNotWrong) {
  KafkaTopicFacts facts = good("delete");
  facts.settings["retention.ms"] = "-1";
  EXPECT_THAT(wrong_settings({"log", 1, TopicKind::log, Millis(2'000)}, facts), ElementsAre());
  facts.settings["min.insync.replicas"] = "3";
  EXPECT_THAT(wrong_settings({"log", 1, TopicKind::log, Millis(2'000)}, facts), ElementsAre());
}

TEST(KafkaReport, EachThatIsOtherwiseIsTold) {
  KafkaTopicFacts facts = good("compact");
  facts.settings["message.timestamp.type"] = "CreateTime";
  facts.settings["min.insync.replicas"] = "1";
  facts.settings["retention.ms"] = "1999";
  EXPECT_THAT(wrong_settings({"log", 1, TopicKind::log, Millis(2'000)}, facts),
              ElementsAre("cleanup.policy is compact and should be delete",
                          "message.timestamp.type is CreateTime and should be LogAppendTime",
                          "min.insync.replicas is 1 and should be at least 2",
                          "retention.ms is 1999 and should be at least 2000"));
  EXPECT_THAT(wrong_settings({"log", 1, TopicKind::log, Millis(0)}, good("delete")),
              ElementsAre("retention.ms is 2000 and should be without end (-1)"));
}

TEST(KafkaReport, ASettingThatIsNotToldIsWrong) {
  KafkaTopicFacts facts = good("compact");
  facts.settings.erase("min.compaction.lag.ms");
  EXPECT_THAT(wrong_settings({"table", 1, TopicKind::table, Millis(0)}, facts),
              ElementsAre("min.compaction.lag.ms is not known and should be at least 86400000"));
}

TEST(KafkaReport, BrokersThatAreNotThereAreAnError) {
  KafkaOptions options;
  options.bootstrap = "127.0.0.1:1";
  options.security = "plain";
  options.request_limit = Millis(300);
  const auto facts = look_at_kafka(options, {{"log", 1, TopicKind::log, Millis(0)}});
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, ErrorCode::unavailable);
  EXPECT_THAT(facts.error().message, testing::HasSubstr("no broker of 127.0.0.1:1 answers"));
}

}  // namespace
}  // namespace fleetward::bus
