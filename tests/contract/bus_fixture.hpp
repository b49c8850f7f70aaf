// The bus backends behind one face, so that the contract suite runs over each of them.
#pragma once

#include <gtest/gtest.h>

#include <future>

#include "bus/embedded_bus.hpp"
#include "contract/temp_folder.hpp"

namespace fleetward::contract {

enum class Backend { memory, embedded };

inline std::string name_of(const ::testing::TestParamInfo<Backend>& info) {
  return info.param == Backend::memory ? "memory" : "embedded";
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
    } else {
      auto opened = bus::open_embedded_bus(folder_ / "bus/bus.db", metrics_, options);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      bus_ = std::move(*opened);
    }
    const Status made = bus_->ensure_topics({{"log", 4, bus::TopicKind::log, Millis(0)},
                                             {"one", 1, bus::TopicKind::log, Millis(0)},
                                             {"table", 2, bus::TopicKind::table, Millis(0)}});
    ASSERT_TRUE(made.ok()) << made.error().message;
  }

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

  static bus::OutRecord record(std::string topic, std::string key, std::string value,
                               std::optional<std::int32_t> partition = {}) {
    return {std::move(topic), std::move(key), std::move(value), {{"n", "v"}}, partition};
  }

  std::unique_ptr<bus::Consumer> subscribe(std::string topic, std::string member, Millis session = Millis(10'000)) {
    auto consumer = bus_->subscribe(loop_, {"group", std::move(topic), std::move(member), session, 8 << 20});
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
    EXPECT_TRUE(done(all)) << "what was waited for did not come";
    return all;
  }

  std::vector<bus::Record> read_to_end(const std::string& topic) {
    auto reader = bus::read_all(*bus_, loop_, topic);
    EXPECT_TRUE(reader.ok());
    std::vector<bus::Record> all;
    while (!(*reader)->caught_up()) {
      auto some = await((*reader)->poll(100, Millis(0)));
      EXPECT_TRUE(some.ok());
      all.insert(all.end(), some->begin(), some->end());
    }
    return all;
  }

  TempFolder folder_;
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
