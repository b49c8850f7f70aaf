// The bus backends behind one face, so that the contract suite runs over each of them.
#pragma once

#include <gtest/gtest.h>

#include <future>

#include "bus/embedded_bus.hpp"
#include "contract/temp_folder.hpp"
#ifdef FLEETWARD_CONTRACT_KAFKA
#include "bus/kafka_bus.hpp"
#include "contract/kafka_cluster.hpp"
#endif

namespace fleetward::contract {

enum class Backend { memory, embedded, kafka };

inline std::string name_of(const ::testing::TestParamInfo<Backend>& info) {
  if (info.param == Backend::kafka) return "kafka";
  return info.param == Backend::memory ? "memory" : "embedded";
}

// The backends of this program: Kafka has one of its own, since it needs a broker.
inline auto backends() {
#ifdef FLEETWARD_CONTRACT_KAFKA
  return ::testing::Values(Backend::kafka);
#else
  return ::testing::Values(Backend::memory, Backend::embedded);
#endif
}

constexpr Millis patience{20'000};

class BusTest : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { open(); }
  void TearDown() override {
    bus_.reset();
    loop_.stop();
  }

  void open(bus::LocalBusOptions options = {}) {
    if (GetParam() == Backend::memory) {
      bus_ = bus::make_memory_bus(loop_, metrics_, options);
    } else if (GetParam() == Backend::kafka) {
      open_kafka(options);
    } else {
      auto opened = bus::open_embedded_bus(folder_ / "bus/bus.db", metrics_, options);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      bus_ = std::move(*opened);
    }
    const Status made = bus_->ensure_topics({{name("log"), 4, bus::TopicKind::log, Millis(0)},
                                             {name("one"), 1, bus::TopicKind::log, Millis(0)},
                                             {name("table"), 2, bus::TopicKind::table, Millis(0)}});
    ASSERT_TRUE(made.ok()) << made.error().message;
  }

  void open_kafka(const bus::LocalBusOptions& options) {
#ifdef FLEETWARD_CONTRACT_KAFKA
    static int tests = 0;
    suffix_ = fmt::format("-{}", ++tests);  // the tests share a cluster
    bus::KafkaOptions kafka = KafkaCluster::shared().options();
    kafka.queue_bytes_max = options.queue_bytes_max;
    auto opened = bus::open_kafka_bus(kafka, metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    bus_ = std::move(*opened);
#else
    (void)options;
#endif
  }

  // Of a topic or a group, in this test.
  [[nodiscard]] std::string name(std::string_view base) const { return std::string(base) + suffix_; }

  // So long that a member that is asked is not silent, and no longer than need be.
  [[nodiscard]] Millis brief() const { return Millis(GetParam() == Backend::kafka ? 1'500 : 200); }

  // Runs a task on the loop and waits for its value.
  template <class T>
  T await(async::Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    scope_.spawn("test", hand_over(std::move(task), promise));
    if (future.wait_for(patience) != std::future_status::ready) {
      ADD_FAILURE() << "a task did not end in time";
      std::abort();
    }
    return future.get();
  }

  std::vector<bus::Position> append(std::vector<bus::OutRecord> records) {
    auto result = await(bus::append(*bus_, loop_, std::move(records)));
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result.ok() ? *result : std::vector<bus::Position>();
  }

  [[nodiscard]] bus::OutRecord record(std::string_view topic, std::string key, std::string value,
                                      std::optional<std::int32_t> partition = {}) const {
    return {name(topic), std::move(key), std::move(value), {{"n", "v"}}, partition};
  }

  std::unique_ptr<bus::Consumer> subscribe(std::string_view topic, std::string member,
                                           Millis session = Millis(10'000)) {
    auto consumer = bus_->subscribe(loop_, {name("group"), name(topic), std::move(member), session, 8 << 20});
    EXPECT_TRUE(consumer.ok());
    return std::move(*consumer);
  }

  // Polls until `done` says so of everything that came so far.
  bus::PollResult poll_until(bus::Consumer& consumer, const std::function<bool(const bus::PollResult&)>& done) {
    bus::PollResult all;
    for (int i = 0; i < 400 && !done(all); ++i) {
      auto some = await(consumer.poll(1000, Millis(50)));
      EXPECT_TRUE(some.ok()) << (some.ok() ? "" : some.error().message);
      if (!some.ok()) break;
      all.assigned.insert(all.assigned.end(), some->assigned.begin(), some->assigned.end());
      all.revoked.insert(all.revoked.end(), some->revoked.begin(), some->revoked.end());
      all.lost.insert(all.lost.end(), some->lost.begin(), some->lost.end());
      all.records.insert(all.records.end(), some->records.begin(), some->records.end());
    }
    EXPECT_TRUE(done(all)) << "what was waited for did not come, but " << text_of(all);
    return all;
  }

  // Partition and offset of each, so that it is seen what is missing.
  static std::string text_of(const bus::PollResult& all) {
    std::string assigned;
    for (const bus::Position& p : all.assigned) assigned += fmt::format(" {}@{}", p.partition, p.offset);
    std::string records;
    for (const bus::Record& r : all.records) records += fmt::format(" {}@{}", r.partition, r.offset);
    return fmt::format("assigned:{}; {} revoked, {} lost; {} records:{}", assigned, all.revoked.size(), all.lost.size(),
                       all.records.size(), records);
  }

  // Up to so many, as soon as there are some.
  std::vector<bus::Record> read_some(bus::Reader& reader, std::size_t records_max) {
    for (int i = 0; i < 400; ++i) {
      auto some = await(reader.poll(records_max, Millis(50)));
      EXPECT_TRUE(some.ok()) << (some.ok() ? "" : some.error().message);
      if (!some.ok() || !some->empty()) return some.ok() ? *some : std::vector<bus::Record>();
    }
    ADD_FAILURE() << "nothing came";
    return {};
  }

  std::vector<bus::Record> read_to_end(const std::string& topic) {
    auto reader = bus::read_all(*bus_, loop_, name(topic));
    EXPECT_TRUE(reader.ok());
    std::vector<bus::Record> all;
    while (!(*reader)->caught_up()) {
      auto some = await((*reader)->poll(100, Millis(10)));
      EXPECT_TRUE(some.ok()) << (some.ok() ? "" : some.error().message);
      if (!some.ok()) break;
      all.insert(all.end(), some->begin(), some->end());
    }
    return all;
  }

  std::vector<bus::Position> committed(std::string_view topic) {
    const auto offsets = await(bus_->committed(loop_, name("group"), name(topic)));
    EXPECT_TRUE(offsets.ok()) << (offsets.ok() ? "" : offsets.error().message);
    return offsets.ok() ? *offsets : std::vector<bus::Position>();
  }

  TempFolder folder_;
  std::string suffix_;
  metrics::Registry metrics_;
  async::LoopThread loop_{"contract"};
  async::Scope scope_{loop_, "contract"};
  std::unique_ptr<bus::Bus> bus_;

 private:
  template <class T>
  static async::Task<void> hand_over(async::Task<T> task, std::shared_ptr<std::promise<T>> promise) {
    T value = co_await std::move(task);
    promise->set_value(std::move(value));
  }
};

}  // namespace fleetward::contract
