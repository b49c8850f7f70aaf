// What the Kafka bus promises beyond the contract: security, topics that are wrong, brokers that go and come.
#include <gmock/gmock.h>

#include "async/eventually.hpp"
#include "contract/bus_fixture.hpp"

namespace fleetward::contract {
namespace {

using async::testing_support::eventually;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class KafkaTest : public BusTest {
 protected:
  Result<std::unique_ptr<bus::Bus>> open_with(const bus::KafkaOptions& options) {
    return bus::open_kafka_bus(options, metrics_);
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, KafkaTest, ::testing::Values(Backend::kafka), name_of);

TEST_P(KafkaTest, TlsAndSaslAreSpoken) {
  // librdkafka before 2.6.1 cannot do SCRAM with Kafka 4 (its #4895): that is told, with what to do instead.
  const bool can_scram = KafkaCluster::shared().about("version").starts_with("3.");
  std::size_t good = 0;
  for (const std::string mechanism : {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}) {
    bus::KafkaOptions options = KafkaCluster::shared().secure_options();
    options.sasl_mechanism = mechanism;
    options.request_limit = Millis(mechanism == "PLAIN" || can_scram ? 10'000 : 1'000);
    auto opened = open_with(options);
    if (!opened && mechanism != "PLAIN" && !can_scram) {
      EXPECT_EQ(opened.error().code, ErrorCode::unauthenticated);
      EXPECT_THAT(opened.error().message, HasSubstr("use PLAIN over TLS"));
      continue;
    }
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_TRUE(await(bus::append(**opened, loop_, {record("one", "k", mechanism)})).ok());
    ++good;
  }
  EXPECT_EQ(good, can_scram ? 3U : 1U);
  EXPECT_THAT(read_to_end("one"), SizeIs(good));
}

TEST_P(KafkaTest, AClientCertificateIsShown) {
  bus::KafkaOptions options = KafkaCluster::shared().secure_options();
  options.bootstrap = KafkaCluster::shared().about("tls_bootstrap");
  options.security = "tls";
  options.certificate_file = KafkaCluster::shared().about("certificate");
  options.key_file = KafkaCluster::shared().about("key");
  auto opened = open_with(options);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_TRUE(await(bus::append(**opened, loop_, {record("one", "k", "v")})).ok());
}

TEST_P(KafkaTest, AWrongPasswordIsToldWithoutIt) {
  bus::KafkaOptions options = KafkaCluster::shared().secure_options();
  options.sasl_mechanism = "PLAIN";
  options.password = "not the password";
  options.request_limit = Millis(2'000);
  const auto opened = open_with(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::unauthenticated) << opened.error().message;
  EXPECT_THAT(opened.error().message, ::testing::Not(HasSubstr("not the password")));
}

TEST_P(KafkaTest, WhatIsWrongWithTheOptionsIsSaidAtOnce) {
  bus::KafkaOptions options;
  options.bootstrap = "kafka.example:9092";
  options.security = "plain";
  options.compression = "best";
  const auto opened = open_with(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(opened.error().message, HasSubstr("loopback"));
  EXPECT_THAT(opened.error().message, HasSubstr("compression"));
}

TEST_P(KafkaTest, NobodyThereIsUnavailable) {
  bus::KafkaOptions options = KafkaCluster::shared().options();
  options.bootstrap = "127.0.0.1:1";
  options.request_limit = Millis(500);
  const auto opened = open_with(options);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::unavailable) << opened.error().message;
  EXPECT_THAT(opened.error().message, HasSubstr("127.0.0.1:1"));
}

TEST_P(KafkaTest, EachCompressionIsReadBack) {
  for (const std::string compression : {"none", "gzip", "snappy", "lz4", "zstd"}) {
    bus::KafkaOptions options = KafkaCluster::shared().options();
    options.compression = compression;
    auto opened = open_with(options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    EXPECT_TRUE(await(bus::append(**opened, loop_, {record("one", compression, std::string(10'000, 'x'))})).ok());
  }
  const auto all = read_to_end("one");
  ASSERT_THAT(all, SizeIs(5));
  for (const auto& r : all) EXPECT_EQ(r.value, std::string(10'000, 'x')) << r.key;
}

TEST_P(KafkaTest, TheLargestRecordFits) {
  const std::string value(bus::record_bytes_max - 100, 'x');
  append({record("one", "k", value)});
  const auto all = read_to_end("one");
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0].value, value);
}

TEST_P(KafkaTest, ATopicOfAnotherKindIsRefused) {
  const Status refused = bus_->ensure_topics({{name("log"), 4, bus::TopicKind::table, Millis(0)}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message, HasSubstr("cleanup.policy"));
}

// A table is read to its end though what stands last there is no record but the mark of a transaction.
TEST_P(KafkaTest, ATableIsReadPastTheMarksOfTransactions) {
  append({record("one", "a", "1")});
  auto consumer = subscribe("one", "m1");
  poll_until(*consumer, [](const auto& r) { return r.records.size() == 1; });
  for (int i = 0; i < 3; ++i) {
    auto work = consumer->begin();
    work->append(record("table", "a", fmt::format("{}", i), 0));
    work->set_offset(0, 1);
    ASSERT_TRUE(await(work->commit()).ok());
  }
  EXPECT_THAT(read_to_end("table"), SizeIs(3));
  const auto ranges = await(bus_->ranges(loop_, name("table")));
  ASSERT_TRUE(ranges.ok());
  EXPECT_EQ(ranges->at(0).end, 6) << "each transaction has a mark";
}

// A member that was silent for too long takes part again, while its client before may be joining by itself. Here
// another consumer of its name is what that client would be.
TEST_P(KafkaTest, WhoIsFencedByTheMemberThatItWasBeforeTakesPartAgain) {
  auto consumer = subscribe("one", "m1", brief());
  poll_until(*consumer, [](const auto& r) { return r.assigned.size() == 1; });
  std::this_thread::sleep_for(2 * brief());
  poll_until(*consumer, [](const auto& r) { return r.lost.size() == 1 && r.assigned.size() == 1; });
  auto shadow = subscribe("one", "m1", brief());
  poll_until(*shadow, [](const auto& r) { return r.assigned.size() == 1; });
  append({record("one", "k", "v")});
  poll_until(*consumer, [](const auto& r) { return r.assigned.size() == 1 && r.records.size() == 1; });
  EXPECT_TRUE(eventually([&] { return !await(shadow->poll(1, Millis(50))).ok(); }, patience)) << "it was replaced";
}

TEST_P(KafkaTest, AQuestionForAnEndHasAnEndItselfWhileTheBrokerIsGone) {
  append({record("one", "k", "v")});
  ASSERT_TRUE(await(bus_->ranges(loop_, name("one"))).ok());
  KafkaCluster::shared().tell("kill 0");
  const auto asked = await(bus_->ranges(loop_, name("one")));
  EXPECT_FALSE(asked.ok());
  if (!asked) EXPECT_EQ(asked.error().code, ErrorCode::unavailable) << asked.error().message;
  KafkaCluster::shared().tell("start 0");
  EXPECT_TRUE(eventually([&] { return await(bus_->ranges(loop_, name("one"))).ok(); }, patience));
}

TEST_P(KafkaTest, AKilledBrokerLosesNothingAcknowledged) {
  constexpr int count = 3'000;
  std::atomic<int> answered{0};
  std::mutex mutex;
  std::set<std::string> good;
  std::thread producer([&] {
    for (int i = 0; i < count; ++i) {
      while (i - answered > 100) std::this_thread::yield();
      bus_->append({record("one", "k", fmt::format("{}", i))}, [&, i](auto result) {
        if (result.ok()) {
          const std::lock_guard lock(mutex);
          good.insert(fmt::format("{}", i));
        }
        ++answered;
      });
    }
  });
  ASSERT_TRUE(eventually([&] { return answered > count / 4; }, patience));
  KafkaCluster::shared().tell("kill 0");
  KafkaCluster::shared().tell("start 0");
  producer.join();
  ASSERT_TRUE(eventually([&] { return answered == count; }, patience));
  // Who asked in between and had no answer is told the truth again, without being asked to look.
  ASSERT_TRUE(eventually([&] { return await(bus_->ranges(loop_, name("one"))).ok(); }, patience));
  std::map<std::string, int> found;
  for (const auto& r : read_to_end("one")) ++found[*r.value];
  for (const std::string& value : good) EXPECT_EQ(found[value], 1) << value;
  EXPECT_GT(good.size(), static_cast<std::size_t>(count / 4));
  EXPECT_TRUE(eventually([&] { return bus_->health().ok(); }, patience)) << bus_->health().error().message;
}

}  // namespace
}  // namespace fleetward::contract
