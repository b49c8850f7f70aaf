// Settings of the collector: a source that could not work is told at the start, with every problem of its mapping.
#include "services/fleetward/settings_collector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace fleetward::program {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CollectorSettingsTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / fmt::format("collector_settings_{}", ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, std::string_view text, bool secret = false) {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    if (secret) std::filesystem::permissions(path, std::filesystem::perms(0600));
    return path;
  }
  // What is wrong with it; empty: it is good.
  std::string loaded(std::string_view kind, const json::Value& source) {
    config::Config config;
    settings_ = {};
    config.add(describe_collector(settings_));
    config::Sources sources;
    sources.flags = {{fmt::format("collector.{}", kind), json::dump(json::Value::array({source}))}};
    const Status status = config.load(sources);
    return status ? "" : status.error().message;
  }

  std::filesystem::path folder_;
  CollectorSettings settings_;
};

TEST_F(CollectorSettingsTest, AnMqttSourceNeedsOnlyNameAndHost) {
  ASSERT_EQ(loaded("mqtt", {{"name", "hall"}, {"host", "broker.example"}}), "");
  ASSERT_EQ(settings_.mqtt.size(), 1U);
  EXPECT_THAT(subscriptions(settings_.mqtt[0]), ElementsAre("$share/fleetward/$aws/things/+/defender/metrics/+"));
  EXPECT_FALSE(settings_.mqtt[0].source.vouched);
  EXPECT_TRUE(settings_.has_sources());
}

TEST_F(CollectorSettingsTest, FiltersOfItsOwnAreShared) {
  ASSERT_EQ(loaded("mqtt", {{"name", "hall"},
                            {"host", "broker.example"},
                            {"thing", "header device"},
                            {"filters", {"a/+", "b/#"}},
                            {"group", "g"}}),
            "");
  EXPECT_THAT(subscriptions(settings_.mqtt[0]), ElementsAre("$share/g/a/+", "$share/g/b/#"));
}

TEST_F(CollectorSettingsTest, WithoutAGroupASubscriptionIsNotShared) {
  ASSERT_EQ(loaded("mqtt", {{"name", "hall"}, {"host", "b"}, {"thing", "topic d/{thing}"}, {"group", ""}}), "");
  EXPECT_THAT(subscriptions(settings_.mqtt[0]), ElementsAre("d/+"));
}

TEST_F(CollectorSettingsTest, AnMqttSourceThatCannotWorkSaysWhy) {
  const json::Value good = {{"name", "hall"}, {"host", "broker.example"}};
  for (const auto& [more, why] : std::vector<std::pair<json::Value, std::string>>{
           {{{"host", ""}}, "host is missing"},
           {{{"name", "a b"}}, "name is missing, or no name"},
           {{{"tls", false}}, "without tls only brokers on this machine"},
           {{{"thing", "key"}}, "an MQTT message has no key"},
           {{{"thing", "topic a/{thin}"}}, "neither {thing} nor {format}"},
           {{{"thing", "field /id"}}, "filters is missing"},
           {{{"filters", {"a/#/b"}}}, "'a/#/b' is no topic filter"},
           {{{"group", "a/b"}}, "group has a /"},
           {{{"user", "u"}}, "user and password_file go together"},
           {{{"certificate_file", "c"}}, "certificate_file and key_file go together"},
           {{{"ca_file", "/nowhere/ca"}}, "/nowhere/ca"},
           {{{"mapping", "/nowhere/m"}}, "/nowhere/m"}}) {
    json::Value source = good;
    source.update(more);
    EXPECT_THAT(loaded("mqtt", source), HasSubstr(why)) << json::dump(more);
  }
}

TEST_F(CollectorSettingsTest, EveryProblemOfAMappingIsToldWithItsFile) {
  const std::string path =
      file("m.yaml", "metrics:\n  - {name: a, path: x, type: number}\n  - {name: b, path: /b, type: int}\n");
  const std::string told =
      loaded("kafka", {{"name", "plant"}, {"bootstrap", "b:9092"}, {"topics", {"t"}}, {"mapping", path}});
  EXPECT_THAT(told, HasSubstr("m.yaml"));
  EXPECT_THAT(told, HasSubstr("metrics[0].path 'x' is no JSON Pointer"));
  EXPECT_THAT(told, HasSubstr("metrics[1].type is not one of count"));
}

TEST_F(CollectorSettingsTest, AKafkaSourceNeedsBrokersAndTopics) {
  EXPECT_EQ(loaded("kafka", {{"name", "plant"}, {"bootstrap", "b:9092"}, {"topics", {"t"}}}), "");
  EXPECT_EQ(settings_.kafka[0].source.thing, "key");
  EXPECT_THAT(loaded("kafka", {{"name", "plant"}, {"topics", {"t"}}}), HasSubstr("bootstrap is missing"));
  EXPECT_THAT(loaded("kafka", {{"name", "plant"}, {"bootstrap", "b:9092"}}), HasSubstr("topics is missing"));
  EXPECT_THAT(
      loaded("kafka", {{"name", "plant"}, {"bootstrap", "b:9092"}, {"topics", {"t"}}, {"security", "sasl_tls"}}),
      HasSubstr("security sasl_tls needs user and password_file"));
  EXPECT_THAT(loaded("kafka", {{"name", "plant"}, {"bootstrap", "b:9092"}, {"topics", {"t"}}, {"key_file", "/k"}}),
              HasSubstr("certificate_file and key_file go together"));
  EXPECT_THAT(
      loaded("kafka", {{"name", "plant"}, {"bootstrap", "b"}, {"topics", {"t"}}, {"password_file", "/nowhere/p"}}),
      HasSubstr("/nowhere/p"));
}

TEST_F(CollectorSettingsTest, APasswordIsReadFromAFileThatNobodyElseReads) {
  const std::string open = file("open", "p");
  EXPECT_THAT(loaded("mqtt", {{"name", "h"}, {"host", "b"}, {"user", "u"}, {"password_file", open}}),
              HasSubstr("password_file"));
  const std::string secret = file("secret", "p", true);
  EXPECT_EQ(loaded("mqtt", {{"name", "h"}, {"host", "b"}, {"user", "u"}, {"password_file", secret}}), "");
}

}  // namespace
}  // namespace fleetward::program
