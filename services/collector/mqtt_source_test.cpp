// An operator's MQTT broker as a source: the PUBACK comes after the bus has the report, in order, once a connection.
#include "services/collector/test_world.hpp"

namespace fleetward::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MqttCollectorTest : public CollectorTest {
 protected:
  void SetUp() override {
    CollectorTest::SetUp();
    broker_ = std::make_unique<Broker>(broker_loop_);
  }
  void TearDown() override {
    stop();
    broker_.reset();
    broker_loop_.stop();
    CollectorTest::TearDown();
  }
  void begin(SourceLimits limits = {}) {
    CollectorConfig config;
    config.mqtt.push_back(mqtt(source("hall", "topic devices/{thing}/metrics"), broker_->port));
    config.mqtt[0].source.limits = limits;
    start(std::move(config));
    ASSERT_TRUE(eventually([&] { return broker_->subscriptions == 1 && collector_->ready().ok(); }));
  }

  async::LoopThread broker_loop_{"broker"};
  std::unique_ptr<Broker> broker_;
};

TEST_F(MqttCollectorTest, AReportIsAcknowledgedWhenTheBusHasIt) {
  begin();
  bus_->fails = true;
  broker_->publish("devices/dev1/metrics", report(7), 5);
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  EXPECT_THAT(broker_->acknowledged(), IsEmpty());
  bus_->fails = false;
  ASSERT_TRUE(eventually([&] { return !broker_->acknowledged().empty(); }));
  EXPECT_THAT(broker_->acknowledged(), ElementsAre(5));
  const auto taken = devices();
  ASSERT_THAT(taken, SizeIs(1));
  EXPECT_EQ(taken[0].key, "dev1");
  EXPECT_EQ(header_of(taken[0], fleet::header::origin), "mqtt/hall/devices/dev1/metrics");
  EXPECT_EQ(header_of(taken[0], fleet::header::packet_id), "5");
  EXPECT_EQ(header_of(taken[0], fleet::header::dup), "1") << "a write that failed may be there all the same";
}

TEST_F(MqttCollectorTest, AWriteThatWasMadeUnheardIsMarkedWhenItIsMadeAgain) {
  begin();
  bus_->loses_answers = true;
  broker_->publish("devices/dev1/metrics", report(7), 5);
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  bus_->loses_answers = false;
  ASSERT_TRUE(eventually([&] { return !broker_->acknowledged().empty(); }));
  const auto taken = devices();
  ASSERT_GE(taken.size(), 2U);
  EXPECT_EQ(header_of(taken[0], fleet::header::dup), "-");
  for (std::size_t i = 1; i < taken.size(); ++i) EXPECT_EQ(header_of(taken[i], fleet::header::dup), "1");
}

TEST_F(MqttCollectorTest, WhatCannotBeUsedIsADeadLetterAndAcknowledged) {
  begin();
  broker_->publish("devices/dev1/metrics", "no JSON", 5);
  broker_->publish("devices/stranger/metrics", report(1), 6);
  ASSERT_TRUE(eventually([&] { return broker_->acknowledged().size() == 2; }));
  const auto dead = letters();
  ASSERT_THAT(dead, SizeIs(2));
  EXPECT_EQ(dead[0].reason, "bad-payload");
  EXPECT_EQ(dead[0].topic, "devices/dev1/metrics");
  EXPECT_EQ(dead[1].reason, "unknown-thing");
  EXPECT_EQ(counted("mqtt/hall", "bad-payload"), 1U);
  EXPECT_EQ(counted("mqtt/hall", "unknown-thing"), 1U);
}

TEST_F(MqttCollectorTest, AnAcknowledgementIsForTheConnectionThatBroughtTheReport) {
  begin();
  bus_->fails = true;
  broker_->publish("devices/dev1/metrics", report(7), 5);
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  broker_->cut();
  ASSERT_TRUE(eventually([&] { return broker_->subscriptions == 2; }));
  bus_->fails = false;
  ASSERT_TRUE(eventually([&] { return counted("mqtt/hall", "taken") == 1; }));
  EXPECT_THAT(broker_->acknowledged(), IsEmpty()) << "5 may be another message's now";
  broker_->publish("devices/dev1/metrics", report(7), 5, true);
  ASSERT_TRUE(eventually([&] { return broker_->acknowledged().size() == 1; }));
  EXPECT_EQ(header_of(devices().back(), fleet::header::dup), "1");
  EXPECT_EQ(metrics_.counter("fleetward_collector_repeats_total", "", {{"source", "mqtt/hall"}}).value(), 1U);
}

TEST_F(MqttCollectorTest, WhatWaitsWhenItsConnectionEndsIsLeftToTheBroker) {
  begin({.batch_messages_max = 1});
  bus_->fails = true;
  for (std::uint16_t id = 1; id <= 3; ++id) broker_->publish("devices/dev1/metrics", report(id), id);
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  broker_->cut();
  ASSERT_TRUE(eventually([&] { return counted("mqtt/hall", "given-back") == 2; })) << "the first is being written";
  bus_->fails = false;
  for (std::uint16_t id = 1; id <= 3; ++id) broker_->publish("devices/dev1/metrics", report(id), id, true);
  ASSERT_TRUE(eventually([&] { return broker_->acknowledged().size() == 3; }));
  EXPECT_EQ(counted("mqtt/hall", "taken"), 4U);
}

TEST_F(MqttCollectorTest, WhatABrokerHasLostWithItsSessionIsTakenAllTheSame) {
  begin({.batch_messages_max = 1});
  broker_->keeps_sessions = false;
  bus_->fails = true;
  for (std::uint16_t id = 1; id <= 3; ++id) broker_->publish("devices/dev1/metrics", report(id), id);
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  broker_->cut();
  ASSERT_TRUE(eventually([&] { return broker_->subscriptions == 2; }));
  bus_->fails = false;
  ASSERT_TRUE(eventually([&] { return counted("mqtt/hall", "taken") == 3; }));
}

TEST_F(MqttCollectorTest, WhatNobodyWaitsForIsDroppedAndCountedWhenThereIsNoRoom) {
  begin({.batch_messages_max = 1, .waiting_bytes_max = 400});
  bus_->fails = true;
  for (int i = 0; i < 3; ++i) broker_->publish("devices/dev1/metrics", report(i + 1), 0);
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  bus_->fails = false;
  ASSERT_TRUE(
      eventually([&] { return counted("mqtt/hall", "taken") + counted("mqtt/hall", "dropped-overload") == 3; }));
  EXPECT_GE(counted("mqtt/hall", "taken"), 1U);
  EXPECT_THAT(devices(), SizeIs(counted("mqtt/hall", "taken")));
}

TEST_F(MqttCollectorTest, ABrokerThatIsAwayIsSaidAndFoundAgain) {
  begin();
  const std::uint16_t port = broker_->port;
  broker_.reset();
  ASSERT_TRUE(eventually([&] { return !collector_->ready().ok(); }));
  EXPECT_THAT(collector_->ready().error().message, HasSubstr("mqtt/hall: "));
  broker_ = std::make_unique<Broker>(broker_loop_, port);
  ASSERT_TRUE(eventually([&] { return collector_->ready().ok(); }));
  broker_->publish("devices/dev1/metrics", report(7), 5);
  ASSERT_TRUE(eventually([&] { return broker_->acknowledged().size() == 1; }));
}

}  // namespace
}  // namespace fleetward::collector
