// Dimensions at the gateway: what is counted apart, under which version, and what the detectors are told of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/gateway/dimension_rules.hpp"
#include "services/gateway/test_world.hpp"

namespace fleetward::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Series = std::map<std::pair<std::string, bool>, fleet::DimensionDelta>;  // by dimension and NOT_IN

std::vector<fleet::DimensionDelta> handed_out(DimensionCounts& counts) {
  std::vector<fleet::DimensionDelta> out;
  counts.hand_out(out);
  return out;
}
Series by_side(const std::vector<fleet::DimensionDelta>& deltas) {
  Series out;
  for (const auto& d : deltas) out[{d.dimension.dimension, d.negated}] = d;
  return out;
}

const std::set<std::string> messages = {"aws:num-messages-sent"};
const std::set<std::string> everything = {"aws:num-messages-sent", "aws:message-byte-size", "aws:num-messages-received",
                                          "aws:num-authorization-failures", "aws:source-ip-address"};

TEST(DimensionCounts, EachMessageIsInOrNotIn) {
  const auto plan = DimensionPlan::make({{{"bulk", 3, {"data/${iot:ClientId}/#", "more/+"}}, everything, everything}});
  DimensionCounts counts;
  counts.sent(plan, "dev1", "data/dev1/x", 10, "10.0.0.1");
  counts.sent(plan, "dev1", "data/dev1/x", 30, "10.0.0.1");
  counts.sent(plan, "dev1", "more/y", 20, "10.0.0.2");
  counts.sent(plan, "dev1", "data/dev10/x", 5, "10.0.0.3");
  counts.received(plan, "dev1", "more/y/z");
  counts.refused(plan, "dev1", "more/z");
  Series series = by_side(handed_out(counts));
  const fleet::DimensionDelta& in = series.at({"bulk", false});
  const fleet::DimensionDelta& out = series.at({"bulk", true});
  EXPECT_EQ(in.dimension, (fleet::DimensionVersion{"bulk", 3}));
  EXPECT_EQ(in.metrics.at("aws:message-byte-size"), (fleet::MetricDelta{3, 60, 10, 30}));
  EXPECT_EQ(in.metrics.at("aws:num-messages-sent").count, 3);
  EXPECT_EQ(in.metrics.at("aws:num-authorization-failures").count, 1);
  EXPECT_FALSE(in.metrics.contains("aws:num-messages-received"));
  EXPECT_THAT(in.source_addresses, ElementsAre("10.0.0.1", "10.0.0.2"));
  EXPECT_EQ(out.metrics.at("aws:message-byte-size"), (fleet::MetricDelta{1, 5, 5, 5}));
  EXPECT_EQ(out.metrics.at("aws:num-messages-received").count, 1);
  EXPECT_THAT(out.source_addresses, ElementsAre("10.0.0.3"));
  EXPECT_THAT(handed_out(counts), IsEmpty()) << "told once";
  counts.sent(plan, "dev1", "more/y", 1, "10.0.0.2");
  EXPECT_EQ(handed_out(counts).at(0).metrics.at("aws:num-messages-sent").count, 1);
}

TEST(DimensionCounts, OnlyWhatIsWantedIsCounted) {
  const auto plan = DimensionPlan::make({{{"in", 1, {"a"}}, messages, {}}, {{"out", 1, {"a"}}, {}, messages}});
  DimensionCounts counts;
  counts.sent(plan, "d", "a", 10, "10.0.0.1");
  counts.sent(plan, "d", "b", 10, "10.0.0.1");
  counts.refused(plan, "d", "a");
  const auto deltas = handed_out(counts);
  ASSERT_THAT(deltas, SizeIs(2));
  EXPECT_EQ(by_side(deltas).at({"in", false}).metrics.at("aws:num-messages-sent").count, 1);
  EXPECT_EQ(by_side(deltas).at({"out", true}).metrics.at("aws:num-messages-sent").count, 1);
  for (const auto& d : deltas) {
    EXPECT_THAT(d.metrics, SizeIs(1));
    EXPECT_THAT(d.source_addresses, IsEmpty());
  }
}

TEST(DimensionCounts, WhatWasCountedUnderAnOlderVersionKeepsItsName) {
  const auto plan_of = [](std::int64_t version, const std::string& filter) {
    return DimensionPlan::make({{{"bulk", version, {filter}}, messages, messages}});
  };
  const auto first = plan_of(1, "a");
  const auto second = plan_of(2, "b");
  DimensionCounts counts;
  counts.sent(first, "d", "a", 1, "");
  counts.sent(second, "d", "a", 1, "");  // the same topic: it is not in any more
  counts.sent(second, "d", "b", 1, "");
  const auto deltas = handed_out(counts);
  ASSERT_THAT(deltas, SizeIs(3));
  EXPECT_EQ(deltas[0].dimension.version, 1);
  EXPECT_FALSE(deltas[0].negated);
  EXPECT_EQ(deltas[1].dimension.version, 2);
  EXPECT_TRUE(deltas[1].negated);
  EXPECT_EQ(deltas[2].dimension.version, 2);
  EXPECT_FALSE(deltas[2].negated);
  for (const auto& d : deltas) EXPECT_EQ(d.metrics.at("aws:num-messages-sent").count, 1);
}

TEST(DimensionCounts, WaitForTheBusWithinARecordsRoom) {
  DimensionCounts counts;
  for (std::int64_t version = 1; version <= 70; ++version) {
    const auto plan = DimensionPlan::make({{{"bulk", version, {"a"}}, messages, messages}});
    counts.sent(plan, "d", "a", 1, "");
  }
  EXPECT_EQ(counts.take_dropped(), 6U) << "and it is told";
  EXPECT_THAT(handed_out(counts), SizeIs(fleet::dimension_deltas_max));
  EXPECT_EQ(counts.take_dropped(), 0U);
}

TEST(DimensionCounts, HostileTopicsAreNotKept) {
  const auto plan = DimensionPlan::make({{{"bulk", 1, {"+/x"}}, messages, messages}});
  DimensionCounts counts;
  const std::string deep(60'000, '/');
  const std::string wide = std::string(60'000, 'a') + "/x";
  for (int i = 0; i < 3; ++i) counts.sent(plan, "d", deep, 1, "");
  for (int i = 0; i < 2; ++i) counts.sent(plan, "d", wide, 1, "");
  const Series series = by_side(handed_out(counts));
  EXPECT_EQ(series.at({"bulk", true}).metrics.at("aws:num-messages-sent").count, 3);
  EXPECT_EQ(series.at({"bulk", false}).metrics.at("aws:num-messages-sent").count, 2);
}

TEST(DimensionPlan, IsBoundedAndSaysWhatIsLeftOut) {
  EXPECT_EQ(DimensionPlan::make({}), nullptr) << "what nobody wants costs nothing";
  std::vector<detect::DimensionUse> uses;
  for (int i = 0; i < 12; ++i) {
    uses.push_back({{fmt::format("d{:02}", i), 1, std::vector<std::string>(100, "a")}, messages, {}});
  }
  const auto plan = DimensionPlan::make(uses);
  EXPECT_THAT(plan->uses, SizeIs(10));
  EXPECT_THAT(plan->left_out, ElementsAre("d10", "d11"));
}

// ---- rules as they come over the bus

struct RuleBook {
  json::Value behaviors = json::Value::array();
  fleet::Manifest manifest{};
  std::int64_t profile_version = 0;

  static json::Value behavior(const std::string& name, const std::string& dimension, const std::string& side) {
    return {{"name", name},
            {"metric", "aws:num-messages-sent"},
            {"metricDimension", {{"dimensionName", dimension}, {"operator", side}}},
            {"criteria", {{"comparisonOperator", "less-than"}, {"value", {{"count", 9}}}, {"durationSeconds", 300}}}};
  }
  // Key and data of each record that the next manifest needs, in order.
  std::vector<std::pair<std::string, json::Value>> next(std::vector<fleet::Dimension> dimensions) {
    std::vector<std::pair<std::string, json::Value>> out;
    manifest.dimensions.clear();
    for (const auto& d : dimensions) {
      out.emplace_back(fleet::dimension_key(d.name, d.version), to_json(d));
      manifest.dimensions.push_back({d.name, d.version});
    }
    ++profile_version;
    out.emplace_back(fleet::profile_key("p", profile_version),
                     json::Value{{"securityProfileName", "p"}, {"version", profile_version}, {"behaviors", behaviors}});
    manifest.profiles = {{"p", profile_version, {{fleet::Target::Kind::all_things, {}}}}};
    ++manifest.number;
    out.emplace_back(fleet::manifest_key(manifest.number), to_json(manifest));
    return out;
  }
};

TEST(DimensionRules, SayWhatIsCountedWhenItChangesAndNotElse) {
  DimensionRules rules("gw", 7);
  RuleBook book;
  const auto take = [&](std::vector<fleet::Dimension> dimensions) {
    for (const auto& [key, data] : book.next(std::move(dimensions))) {
      EXPECT_FALSE(rules.refresh()) << "before the manifest is whole nothing changes";
      const fleet::CloudEvent event{key, "/t", "t", key, Instant{}, data};
      EXPECT_TRUE(rules.add(key, fleet::to_json_text(event)).ok());
    }
    return rules.refresh();
  };
  EXPECT_FALSE(take({{"bulk", 1, {"a"}}})) << "nothing looks through it";
  EXPECT_EQ(rules.plan(), nullptr);
  EXPECT_FALSE(rules.to_say());
  book.behaviors = json::Value::array({RuleBook::behavior("b", "bulk", "IN")});
  EXPECT_TRUE(take({{"bulk", 1, {"a"}}}));
  ASSERT_TRUE(rules.to_say());
  EXPECT_EQ(*rules.to_say(), (fleet::Counting{"gw", 7, 2, {{"bulk", 1}}}));
  rules.said();
  const auto before = rules.plan();
  EXPECT_FALSE(take({{"bulk", 1, {"a"}}, {"other", 1, {"b"}}})) << "other rules, the same plan";
  EXPECT_EQ(rules.plan(), before);
  EXPECT_FALSE(rules.to_say());
  EXPECT_TRUE(take({{"bulk", 2, {"c"}}}));
  EXPECT_EQ(rules.to_say()->dimensions, (std::vector<fleet::DimensionVersion>{{"bulk", 2}}));
  book.behaviors = json::Value::array();
  EXPECT_TRUE(take({{"bulk", 2, {"c"}}}));
  EXPECT_EQ(rules.plan(), nullptr);
  EXPECT_EQ(*rules.to_say(), (fleet::Counting{"gw", 7, 5, {}})) << "that it has ended is told, too";
}

class DimensionsOfGatewayTest : public GatewayTest {
 protected:
  void put_rules(std::vector<fleet::Dimension> dimensions) {
    for (const auto& [key, data] : book_.next(std::move(dimensions))) append(fleet::topic::rules, key, data, 1);
  }
  std::vector<fleet::Counting> countings() {
    std::vector<fleet::Counting> out;
    for (const bus::Record& r : records(fleet::topic::devices)) {
      if (bus::find_header(r.headers, "fw-kind") == "counting")
        out.push_back(*fleet::counting_from_json(*json::parse(*r.value)));
    }
    return out;
  }
  // Of a device, summed over all its deltas.
  std::int64_t counted(const std::string& thing, const fleet::DimensionVersion& dimension, bool negated,
                       const std::string& metric) {
    std::int64_t sum = 0;
    for (const bus::Record& r : records(fleet::topic::devices)) {
      if (r.key != thing || bus::find_header(r.headers, "fw-kind") != "cloud-metrics") continue;
      const auto delta = fleet::cloud_metrics_from_json(*json::parse(*r.value));
      for (const auto& d : delta->dimensions) {
        if (d.dimension == dimension && d.negated == negated && d.metrics.contains(metric))
          sum += d.metrics.at(metric).count;
      }
    }
    return sum;
  }
  RuleBook book_;
};

INSTANTIATE_TEST_SUITE_P(Versions, DimensionsOfGatewayTest, ::testing::Values(mqtt::Version::v5),
                         [](const auto&) { return "v5"; });

TEST_P(DimensionsOfGatewayTest, CountsByTopicAndChangesWithTheRules) {
  const std::string sent = "aws:num-messages-sent";
  book_.behaviors =
      json::Value::array({RuleBook::behavior("b", "bulk", "IN"), RuleBook::behavior("c", "bulk", "NOT_IN")});
  put_rules({{"bulk", 1, {"$aws/things/${iot:ClientId}/#"}}});
  config_.metrics_every = Millis(0);
  start();
  ASSERT_TRUE(eventually([&] { return countings().size() == 1; }));
  EXPECT_EQ(countings()[0].dimensions, (std::vector<fleet::DimensionVersion>{{"bulk", 1}}));
  EXPECT_EQ(countings()[0].gateway, "gw");
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  device->publish(report_topic("dev1"), report(1), 1);
  device->expect(mqtt::PacketType::puback);
  device->publish("elsewhere", "x", 2);
  EXPECT_EQ(device->expect(mqtt::PacketType::puback).body.at(2), mqtt::reason::not_authorized);
  ASSERT_TRUE(eventually([&] { return counted("dev1", {"bulk", 1}, false, sent) == 1; }));
  ASSERT_TRUE(eventually([&] { return counted("dev1", {"bulk", 1}, true, sent) == 1; }));

  put_rules({{"bulk", 2, {"elsewhere"}}});
  ASSERT_TRUE(eventually([&] { return countings().size() == 2; }));
  device->publish("elsewhere", "x", 3);
  device->expect(mqtt::PacketType::puback);
  ASSERT_TRUE(eventually([&] { return counted("dev1", {"bulk", 2}, false, sent) == 1; }));
  EXPECT_EQ(counted("dev1", {"bulk", 2}, true, sent), 0);

  book_.behaviors = json::Value::array();
  put_rules({{"bulk", 2, {"elsewhere"}}});
  ASSERT_TRUE(eventually([&] { return countings().size() == 3; }));
  EXPECT_THAT(countings()[2].dimensions, IsEmpty());
  device->publish("elsewhere", "x", 4);
  device->expect(mqtt::PacketType::puback);
  ASSERT_TRUE(eventually([&] { return cloud_sum("dev1", sent) == 4; }));
  EXPECT_EQ(counted("dev1", {"bulk", 2}, false, sent), 1) << "nothing looks through it any more";
  EXPECT_EQ(metrics_.gauge("fleetward_gateway_dimensions_left_out", "").value(), 0);
}

TEST_P(DimensionsOfGatewayTest, WhatIsCountedIsToldWhenTheBusIsBack) {
  config_.metrics_every = Millis(0);
  start();
  auto device = client(dev1_);
  ASSERT_EQ(device->connect("dev1"), 0);
  EXPECT_THAT(countings(), IsEmpty()) << "no rule asks for any";
  auto& retries = metrics_.counter("fleetward_gateway_append_retries_total", "");
  bus_.devices_fail = true;
  device->publish(report_topic("dev1"), report(1), 1);
  ASSERT_TRUE(eventually([&] { return retries.value() > 0; }));
  book_.behaviors = json::Value::array({RuleBook::behavior("b", "bulk", "NOT_IN")});
  put_rules({{"bulk", 1, {"x"}}});
  bus_.devices_fail = false;
  device->expect(mqtt::PacketType::puback);
  ASSERT_TRUE(eventually([&] { return countings().size() == 1; }));
  EXPECT_EQ(countings()[0].dimensions, (std::vector<fleet::DimensionVersion>{{"bulk", 1}}));
  device->publish(report_topic("dev1"), report(2), 2);
  device->expect(mqtt::PacketType::puback);
  ASSERT_TRUE(eventually([&] { return counted("dev1", {"bulk", 1}, true, "aws:num-messages-sent") == 1; }));
  EXPECT_THAT(countings(), SizeIs(1)) << "once";
}

}  // namespace
}  // namespace fleetward::gateway
