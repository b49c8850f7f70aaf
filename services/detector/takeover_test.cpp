#include <gtest/gtest.h>

#include "bus/local_bus.hpp"
#include "bus/memory_storage.hpp"
#include "fleet/topics.hpp"
#include "services/detector/detector.hpp"

namespace fleetward::detector {
namespace {

constexpr std::int32_t partitions = 6;  // more than are read at once
constexpr Millis session{10'000};
constexpr Millis read_takes{15'000};  // of a partition's state: longer than the session

// Each partition of detector-state takes its time.
class SlowReader final : public bus::Reader {
 public:
  SlowReader(std::unique_ptr<bus::Reader> reader, async::Scheduler& scheduler)
      : reader_(std::move(reader)), pause_(scheduler) {}
  async::Task<Result<std::vector<bus::Record>>> poll(std::size_t records_max, Millis wait) override {
    co_await pause_.wait(read_takes);
    Result<std::vector<bus::Record>> some = co_await reader_->poll(records_max, wait);
    co_return some;
  }
  void wake() override { reader_->wake(); }
  [[nodiscard]] bool caught_up() const override { return reader_->caught_up(); }
  [[nodiscard]] std::vector<bus::Position> positions() const override { return reader_->positions(); }

 private:
  std::unique_ptr<bus::Reader> reader_;
  async::Event pause_;
};

class SlowBus final : public bus::Bus {
 public:
  explicit SlowBus(bus::Bus& bus) : bus_(bus) {}
  Status ensure_topics(const std::vector<bus::TopicSpec>& topics) override { return bus_.ensure_topics(topics); }
  [[nodiscard]] std::int32_t partition_count(std::string_view topic) const override {
    return bus_.partition_count(topic);
  }
  void append_batch(bus::Batch records, bus::AppendCallback done) override {
    bus_.append_batch(std::move(records), std::move(done));
  }
  Result<std::unique_ptr<bus::Consumer>> subscribe(async::Scheduler& scheduler, bus::ConsumerOptions options) override {
    return bus_.subscribe(scheduler, std::move(options));
  }
  Result<std::unique_ptr<bus::Reader>> read(async::Scheduler& scheduler, std::string topic,
                                            std::vector<bus::Position> start) override {
    const bool is_slow = topic == fleet::topic::detector_state;
    auto reader = bus_.read(scheduler, std::move(topic), std::move(start));
    if (!reader || !is_slow) return reader;
    return std::unique_ptr<bus::Reader>(std::make_unique<SlowReader>(std::move(*reader), scheduler));
  }
  async::Task<Result<std::vector<bus::PartitionRange>>> ranges(async::Scheduler& scheduler,
                                                               std::string topic) override {
    return bus_.ranges(scheduler, std::move(topic));
  }
  async::Task<Result<std::vector<bus::Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                            std::string topic) override {
    return bus_.committed(scheduler, std::move(group), std::move(topic));
  }

 private:
  bus::Bus& bus_;
};

// Another member of the group: what it is given by its first poll.
async::Task<void> poll_once(bus::Consumer& consumer, std::vector<bus::Position>& given) {
  Result<bus::PollResult> polled = co_await consumer.poll(1, Millis(0));
  if (polled) given = polled->assigned;
}

void make_topics(bus::Bus& bus) {
  std::vector<bus::TopicSpec> topics;
  for (const fleet::TopicInfo& t : fleet::all_topics) {
    topics.push_back({std::string(t.name), t.per_device ? partitions : 1,
                      t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
  }
  ASSERT_TRUE(bus.ensure_topics(topics).ok());
  // Something to read in each.
  std::vector<bus::OutRecord> states;
  for (std::int32_t p = 0; p < partitions; ++p) {
    states.push_back({std::string(fleet::topic::detector_state), "gone", std::nullopt, {}, p});
  }
  bus.append(std::move(states), [](const auto& done) { ASSERT_TRUE(done.ok()); });
}

// The group hears of a detector while it reads its partitions' state: who comes meanwhile is not given them as those of
// a dead one.
TEST(Takeover, MayTakeLongerThanASession) {
  async::VirtualScheduler loop(instant_from_ms(1'700'000'100'000));
  metrics::Registry metrics;
  crypto::SystemRandom random;
  const auto memory = bus::make_local_bus(bus::make_memory_storage(), loop, loop, metrics);
  SlowBus bus(*memory);
  make_topics(bus);
  DetectorSettings settings;
  settings.session_timeout = session;
  Detector detector(settings, bus, loop, metrics, random);
  ASSERT_TRUE(detector.start().ok());
  loop.run_for(session + Millis(1'000));
  ASSERT_FALSE(detector.ready().ok()) << "it should still be reading";

  auto other = bus.subscribe(loop, {settings.group, std::string(fleet::topic::devices), "other", session});
  ASSERT_TRUE(other.ok());
  async::Scope scope(loop, "other");
  std::vector<bus::Position> given;
  scope.spawn("poll", poll_once(**other, given));
  loop.run_for(Millis(1));

  EXPECT_TRUE(given.empty());
  loop.run_for(3 * read_takes);
  EXPECT_TRUE(detector.ready().ok());
  detector.stop(Millis(0));  // it ends as its time goes on
  loop.run_for(3 * session);
}

}  // namespace
}  // namespace fleetward::detector
