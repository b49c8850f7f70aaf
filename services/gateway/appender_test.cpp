#include "services/gateway/appender.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/topics.hpp"

namespace fleetward::gateway {
namespace {

using ::testing::ElementsAre;

// Takes every batch, and says of the first `lies` that it did not.
class LyingBus final : public bus::Bus {
 public:
  explicit LyingBus(int lies) : lies_(lies) {}
  void append_batch(bus::Batch records, bus::AppendCallback done) override {
    taken.insert(taken.end(), records->begin(), records->end());
    if (lies_-- > 0) return done(Error(ErrorCode::unavailable, "no answer in time"));
    done(std::vector<bus::Position>(records->size()));
  }
  Status ensure_topics(const std::vector<bus::TopicSpec>&) override { return {}; }
  std::int32_t partition_count(std::string_view) const override { return 1; }
  Result<std::unique_ptr<bus::Consumer>> subscribe(async::Scheduler&, bus::ConsumerOptions) override { return none(); }
  Result<std::unique_ptr<bus::Reader>> read(async::Scheduler&, std::string, std::vector<bus::Position>) override {
    return none();
  }
  async::Task<Result<std::vector<bus::PartitionRange>>> ranges(async::Scheduler&, std::string) override {
    co_return none();
  }
  async::Task<Result<std::vector<bus::Position>>> committed(async::Scheduler&, std::string, std::string) override {
    co_return none();
  }
  std::vector<bus::OutRecord> taken;

 private:
  static Error none() { return {ErrorCode::unsupported, "not here"}; }
  int lies_;
};

class CountingReporter final : public Reporter {
 public:
  void on_durable(const Receipt&) override { ++durable; }
  int durable = 0;
};

std::vector<std::string> dup_headers(const std::vector<bus::OutRecord>& records) {
  std::vector<std::string> out;
  for (const bus::OutRecord& r : records)
    out.emplace_back(bus::find_header(r.headers, fleet::header::dup).value_or("none"));
  return out;
}

bus::OutRecord report(const std::string& thing, bool has_packet_id) {
  bus::OutRecord r{std::string(fleet::topic::devices), thing, "{}", {}, std::nullopt};
  if (has_packet_id) r.headers.push_back({fleet::header::packet_id, "7"});
  return r;
}

TEST(Appender, WhatIsWrittenAgainIsMarkedSoThatItCountsOnce) {
  LyingBus bus(2);
  async::VirtualScheduler scheduler(instant_from_ms(0));
  metrics::Registry metrics;
  const auto appender = std::make_shared<Appender>(bus, scheduler, metrics);
  const auto reporter = std::make_shared<CountingReporter>();
  appender->append(report("cam-1", true), {reporter});
  appender->append(report("cam-2", false), {reporter});
  scheduler.run_for(Millis(5'000));
  EXPECT_EQ(reporter->durable, 2);
  EXPECT_THAT(dup_headers(bus.taken), ElementsAre("none", "none", "1", "none", "1", "none"));
}

// Its device may have gone to another gateway with it meanwhile.
TEST(Appender, WhatWaitsWhileTheBusTakesNothingIsMarkedToo) {
  LyingBus bus(3);
  async::VirtualScheduler scheduler(instant_from_ms(0));
  metrics::Registry metrics;
  const auto appender = std::make_shared<Appender>(bus, scheduler, metrics);
  const auto reporter = std::make_shared<CountingReporter>();
  appender->append(report("cam-1", true), {reporter});
  scheduler.run_for(Millis(1));
  ASSERT_TRUE(appender->is_failing());
  appender->append(report("cam-2", true), {reporter});
  scheduler.run_for(Millis(5'000));
  ASSERT_FALSE(appender->is_failing());
  appender->append(report("cam-3", true), {reporter});
  scheduler.run_for(Millis(1));
  EXPECT_EQ(reporter->durable, 3);
  EXPECT_THAT(dup_headers(bus.taken), ElementsAre("none", "1", "1", "1", "1", "none"));
}

}  // namespace
}  // namespace fleetward::gateway
