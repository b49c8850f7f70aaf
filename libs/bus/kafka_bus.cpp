#include "bus/kafka_bus.hpp"

#include <algorithm>
#include <thread>

#include "bus/kafka_consumer.hpp"
#include "bus/kafka_producer.hpp"
#include "bus/kafka_reader.hpp"
#include "log/log.hpp"

namespace fleetward::bus {
namespace kafka {
namespace {

constexpr Millis look_every{2'000};
constexpr Millis silence_max{6'000};  // without an answer of a broker for longer the bus is not healthy

class KafkaBus final : public Bus {
 public:
  KafkaBus(KafkaCorePtr core, std::shared_ptr<Producer> producer)
      : core_(std::move(core)), producer_(std::move(producer)), answered_at_(std::chrono::steady_clock::now()) {
    core_->lookups.post([this] { watch(); });
  }

  ~KafkaBus() override {
    core_->lookups.stop();
    producer_.reset();
    core_->closer.run_and_wait([] {});  // what others have let go of has ended
    core_->closer.stop();
  }

  Status ensure_topics(const std::vector<TopicSpec>& specs) override {
    if (const Status good = core_->lookup->ensure_topics(specs); !good) return good;
    if (const Status known = core_->refresh_topics(); !known) return known;
    return producer()->learn(specs);
  }

  [[nodiscard]] std::int32_t partition_count(std::string_view topic) const override {
    return core_->partition_count(topic);
  }

  void append_batch(Batch records, AppendCallback done) override {
    Placement placement;
    if (const Status good = core_->place(*records, placement.partitions, placement.bytes); !good) {
      producer()->refuse(std::move(done), good.error());
      return;
    }
    const std::size_t count = records->size();
    producer()->append(records, std::move(placement),
                       [core = core_.get(), count, done = std::move(done)](Result<std::vector<Position>> result) {
                         if (result) core->records.add(count);
                         else if (result.error().code == ErrorCode::throttled) core->throttled.add();
                         else core->failed.add();
                         done(std::move(result));
                       });
  }

  [[nodiscard]] Status health() const override {
    const std::lock_guard lock(mutex_);
    if (std::chrono::steady_clock::now() - answered_at_ > silence_max) return silence_;
    return producer_->health();
  }

  Result<std::unique_ptr<Consumer>> subscribe(async::Scheduler& scheduler, ConsumerOptions options) override {
    if (core_->partition_count(options.topic) == 0) {
      return Error(ErrorCode::not_found, "there is no topic " + options.topic);
    }
    return make_consumer(core_, scheduler, std::move(options));
  }

  Result<std::unique_ptr<Reader>> read(async::Scheduler& scheduler, std::string topic,
                                       std::vector<Position> start) override {
    if (!start.empty() && core_->partition_count(topic) == 0) {
      return Error(ErrorCode::not_found, "there is no topic " + topic);
    }
    return make_reader(core_, scheduler, std::move(topic), start);
  }

  async::Task<Result<std::vector<PartitionRange>>> ranges(async::Scheduler& scheduler, std::string topic) override {
    const std::int32_t count = core_->partition_count(topic);
    std::function<Result<std::vector<PartitionRange>>()> work = [core = core_.get(), topic,
                                                                 count]() -> Result<std::vector<PartitionRange>> {
      std::vector<PartitionRange> out;
      for (std::int32_t p = 0; p < count; ++p) {
        const Result<PartitionBounds> bounds = core->lookup->bounds(topic, p);
        if (!bounds) return bounds.error();
        out.push_back({p, bounds->begin, bounds->end});
      }
      return out;
    };
    Result<std::vector<PartitionRange>> out =
        co_await on_thread<std::vector<PartitionRange>>(core_->lookups, scheduler, work);
    co_return out;
  }

  async::Task<Result<std::vector<Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                       std::string topic) override {
    std::vector<std::int32_t> partitions;
    for (std::int32_t p = 0; p < core_->partition_count(topic); ++p) partitions.push_back(p);
    std::function<Result<std::vector<Position>>()> work = [core = core_.get(), group, topic, partitions] {
      return core->lookup->committed(group, topic, partitions);
    };
    Result<std::vector<Position>> out = co_await on_thread<std::vector<Position>>(core_->lookups, scheduler, work);
    co_return out;
  }

 private:
  // A new one in place of one that is broken; that answers what it still has first.
  std::shared_ptr<Producer> producer() {
    const std::lock_guard lock(mutex_);
    if (!producer_->is_broken()) return producer_;
    Result<std::unique_ptr<Producer>> fresh = Producer::make(core_->options);
    if (!fresh) {
      log::error("kafka_producer_failed", {{"error", fresh.error().message}});
      return producer_;
    }
    core_->broken.add();
    core_->closer.post([old = std::move(producer_)]() mutable { old.reset(); });
    producer_ = std::move(*fresh);
    return producer_;
  }

  // Whether a broker answers, every so often. On the thread of look-ups.
  void watch() {
    const auto answer = core_->lookup->addresses();
    {
      const std::lock_guard lock(mutex_);
      if (answer) answered_at_ = std::chrono::steady_clock::now();
      else silence_ = answer.error();
    }
    core_->lookups.call_after(look_every, [this] { watch(); });
  }

  KafkaCorePtr core_;
  mutable std::mutex mutex_;  // the producer's place, answered_at_, silence_
  std::shared_ptr<Producer> producer_;
  std::chrono::steady_clock::time_point answered_at_;
  Status silence_ = Error(ErrorCode::unavailable, "kafka: no broker answers");
};

// Without TLS nothing may be sent to another machine: nor to one that a broker of this machine names.
Status check_addresses(const KafkaOptions& options, const std::string& addresses) {
  if (!options.security.ends_with("plain") || are_loopback(addresses)) return {};
  return Error(ErrorCode::failed_precondition,
               fmt::format("kafka: the brokers are to be reached at {}: use tls or sasl_tls (security), or let them "
                           "advertise loopback addresses",
                           addresses));
}

// The first requests to a fresh cluster may fail while it finds itself.
Status wait_for_cluster(KafkaCore& core) {
  constexpr Millis pause{50};
  const auto end = std::chrono::steady_clock::now() + core.options.request_limit;
  for (;;) {
    const Result<std::string> addresses = core.lookup->addresses();
    if (addresses) return check_addresses(core.options, *addresses);
    const bool is_over = std::chrono::steady_clock::now() > end;
    if (is_over || !is_retryable(addresses.error().code)) {
      return addresses.error().with_context("no broker of " + core.options.bootstrap + " answers");
    }
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace
}  // namespace kafka

Result<std::unique_ptr<Bus>> open_kafka_bus(KafkaOptions options, metrics::Registry& metrics) {
  if (const Status good = kafka::check(options); !good) return good.error();
  Result<std::unique_ptr<kafka::Lookup>> lookup = kafka::Lookup::make(options);
  if (!lookup) return lookup.error();
  auto core = std::make_shared<kafka::KafkaCore>(options, std::move(*lookup), metrics);
  if (const Status there = kafka::wait_for_cluster(*core); !there) return there.error();
  if (const Status known = core->refresh_topics(); !known) return known.error();
  Result<std::unique_ptr<kafka::Producer>> producer = kafka::Producer::make(options);
  if (!producer) return producer.error();
  return std::unique_ptr<Bus>(std::make_unique<kafka::KafkaBus>(std::move(core), std::move(*producer)));
}

}  // namespace fleetward::bus
