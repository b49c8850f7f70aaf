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

// Has more at once, whenever it is asked, until all of them together have given so many batches.
class EagerReader final : public bus::Reader {
 public:
  static constexpr std::size_t batches_max = 1'000;

  explicit EagerReader(std::size_t& batches) : batches_(batches) {}
  async::Task<Result<std::vector<bus::Record>>> poll(std::size_t /*records_max*/, Millis /*wait*/) override {
    ++batches_;
    co_return std::vector<bus::Record>();
  }
  void wake() override {}
  [[nodiscard]] bool caught_up() const override { return batches_ >= batches_max; }
  [[nodiscard]] std::vector<bus::Position> positions() const override { return {}; }

 private:
  std::size_t& batches_;
};

// Whose readers of detector-state are others.
class StateBus final : public bus::Bus {
 public:
  using Wrap = std::function<std::unique_ptr<bus::Reader>(std::unique_ptr<bus::Reader>)>;

  StateBus(bus::Bus& bus, Wrap wrap) : bus_(bus), wrap_(std::move(wrap)) {}
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
    const bool is_state = topic == fleet::topic::detector_state;
    auto reader = bus_.read(scheduler, std::move(topic), std::move(start));
    if (!reader || !is_state) return reader;
    return wrap_(std::move(*reader));
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
  Wrap wrap_;
};

// Something else that the detector's thread has to do.
async::Task<void> take_turns(async::Scheduler& scheduler, const std::size_t& batches, std::size_t& turns) {
  async::Event turn(scheduler);
  while (batches < EagerReader::batches_max) {
    co_await turn.wait(Millis(0));
    ++turns;
  }
}

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
  StateBus bus(*memory, [&loop](std::unique_ptr<bus::Reader> reader) {
    return std::make_unique<SlowReader>(std::move(reader), loop);
  });
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

TEST(Takeover, LeavesTurnsToOthersWhileThereIsAlwaysMoreToRead) {
  async::VirtualScheduler loop(instant_from_ms(1'700'000'100'000));
  metrics::Registry metrics;
  crypto::SystemRandom random;
  const auto memory = bus::make_local_bus(bus::make_memory_storage(), loop, loop, metrics);
  std::size_t batches = 0;
  std::size_t turns = 0;
  StateBus bus(*memory,
               [&batches](std::unique_ptr<bus::Reader> /*reader*/) { return std::make_unique<EagerReader>(batches); });
  make_topics(bus);
  Detector detector({}, bus, loop, metrics, random);
  ASSERT_TRUE(detector.start().ok());
  async::Scope scope(loop, "others");
  scope.spawn("turns", take_turns(loop, batches, turns));
  loop.run_for(session);

  EXPECT_TRUE(detector.ready().ok());
  EXPECT_GE(batches, EagerReader::batches_max);
  EXPECT_GE(turns, batches / 8) << "a handful of partitions are read between two turns, a batch each";
  detector.stop(Millis(0));
  loop.run_for(3 * session);
}

}  // namespace
}  // namespace fleetward::detector
