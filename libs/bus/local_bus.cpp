#include "bus/local_bus.hpp"

#include <deque>

#include "bus/local_consumer.hpp"
#include "bus/local_core.hpp"
#include "bus/local_reader.hpp"
#include "log/log.hpp"

namespace fleetward::bus {
namespace {

class LocalBus final : public Bus {
 public:
  explicit LocalBus(LocalCorePtr core) : core_(std::move(core)) { schedule_clean(core_); }

  Status ensure_topics(const std::vector<TopicSpec>& specs) override {
    for (const TopicSpec& spec : specs) {
      if (const Status made = core_->storage->ensure_topic(spec); !made) return made;
      const std::lock_guard lock(core_->topics_mutex);
      core_->topics[spec.name] = spec;
    }
    return {};
  }

  [[nodiscard]] std::int32_t partition_count(std::string_view topic) const override {
    return core_->partition_count(topic);
  }

  void append_batch(Batch records, AppendCallback done) override {
    WriteRequest request;
    if (const Status good = core_->check(*records, request.bytes); !good) {
      core_->reader.post([done = std::move(done), error = good.error()] { done(error); });
      return;
    }
    request.records = std::move(records);
    request.done = std::move(done);
    core_->enqueue(std::move(request));
  }

  [[nodiscard]] Status health() const override { return core_->health(); }

  Result<std::unique_ptr<Consumer>> subscribe(async::Scheduler& scheduler, ConsumerOptions options) override {
    const std::int32_t partitions = core_->partition_count(options.topic);
    if (partitions == 0) return Error(ErrorCode::not_found, "there is no topic " + options.topic);
    MemberId member = 0;
    {
      const std::lock_guard lock(core_->mutex);
      auto& group = core_->groups.try_emplace(GroupKey(options.group, options.topic), partitions).first->second;
      member = group.join(options.member, options.session_timeout, scheduler.steady_now());
    }
    return make_local_consumer(core_, scheduler, std::move(options), member);
  }

  Result<std::unique_ptr<Reader>> read(async::Scheduler& scheduler, std::string topic,
                                       std::vector<Position> start) override {
    Offsets from;
    Offsets to;
    for (const Position& p : start) {
      const auto bounds = core_->storage->bounds(topic, p.partition);
      if (!bounds) return bounds.error();
      from[p.partition] = std::max(p.offset, bounds->begin);
      to[p.partition] = bounds->end;
    }
    return make_local_reader(core_, scheduler, std::move(topic), std::move(from), std::move(to));
  }

  async::Task<Result<std::vector<PartitionRange>>> ranges(async::Scheduler& scheduler, std::string topic) override {
    const std::int32_t count = core_->partition_count(topic);
    std::function<Result<std::vector<PartitionRange>>(Storage&)> work =
        [topic, count](Storage& s) -> Result<std::vector<PartitionRange>> {
      std::vector<PartitionRange> out;
      for (std::int32_t p = 0; p < count; ++p) {
        const auto bounds = s.bounds(topic, p);
        if (!bounds) return bounds.error();
        out.push_back({p, bounds->begin, bounds->end});
      }
      return out;
    };
    Result<std::vector<PartitionRange>> out = co_await on_reader<std::vector<PartitionRange>>(core_, scheduler, work);
    co_return out;
  }

  async::Task<Result<std::vector<Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                       std::string topic) override {
    const std::int32_t count = core_->partition_count(topic);
    std::function<Result<std::vector<Position>>(Storage&)> work = [group, topic,
                                                                   count](Storage& s) -> Result<std::vector<Position>> {
      std::vector<Position> out;
      for (std::int32_t p = 0; p < count; ++p) {
        const auto offset = s.committed(group, topic, p);
        if (!offset) return offset.error();
        if (*offset) out.push_back({p, **offset});
      }
      return out;
    };
    Result<std::vector<Position>> out = co_await on_reader<std::vector<Position>>(core_, scheduler, work);
    co_return out;
  }

 private:
  static void schedule_clean(const LocalCorePtr& core) {
    if (core->options.clean_every <= Millis(0)) return;
    std::weak_ptr<LocalCore> weak = core;
    core->writer.post([weak] {
      if (const auto alive = weak.lock()) {
        alive->writer.call_after(alive->options.clean_every, [weak] {
          if (const auto still = weak.lock()) clean(still);
        });
      }
    });
  }

  static void clean(const LocalCorePtr& core) {
    auto left = std::make_shared<std::deque<std::pair<TopicSpec, std::int32_t>>>();
    {
      const std::lock_guard lock(core->topics_mutex);
      for (const auto& [name, spec] : core->topics) {
        for (std::int32_t p = 0; p < spec.partitions; ++p) left->emplace_back(spec, p);
      }
    }
    clean_step(core, left);
  }

  // One small step at a time, so that appends hardly wait; comes back to a partition until it has nothing more to do.
  static void clean_step(const LocalCorePtr& core,
                         const std::shared_ptr<std::deque<std::pair<TopicSpec, std::int32_t>>>& left) {
    constexpr std::size_t rows_a_step = 1'000;
    constexpr Millis pause{5};
    if (left->empty()) {
      schedule_clean(core);
      return;
    }
    const auto [spec, partition] = left->front();
    left->pop_front();
    const Instant now = core->clean_clock.at(core->writer.now(), core->writer.steady_now());
    const auto step = core->storage->clean(spec, partition, now, core->options.table_keep, rows_a_step);
    if (!step) log::warn("bus_clean_failed", {{"topic", spec.name}, {"error", step.error().message}});
    else if (step->more) left->emplace_back(spec, partition);
    if (step) core->cleaned.add(static_cast<std::uint64_t>(step->removed));
    std::weak_ptr<LocalCore> weak = core;
    core->writer.call_after(pause, [weak, left] {
      if (const auto alive = weak.lock()) clean_step(alive, left);
    });
  }

  LocalCorePtr core_;
};

}  // namespace

std::unique_ptr<Bus> make_local_bus(std::unique_ptr<Storage> storage, async::Scheduler& writer,
                                    async::Scheduler& reader, metrics::Registry& metrics, LocalBusOptions options) {
  return std::make_unique<LocalBus>(std::make_shared<LocalCore>(std::move(storage), writer, reader, metrics, options));
}

}  // namespace fleetward::bus
