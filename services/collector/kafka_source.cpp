// Topics of an operator's Kafka cluster as a source: a batch is read, brought to our bus, and only then its offsets are
// committed.
#include <fmt/format.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "log/log.hpp"
#include "services/collector/sources.hpp"

namespace fleetward::collector {
namespace {

constexpr Millis poll_wait{1'000};
constexpr Millis pause_after_failure{500};
constexpr Millis open_again_after{2'000};
constexpr std::string_view content_type_header = "content-type";

Message message_of(bus::Record record, Instant now) {
  Message m;
  m.topic = std::move(record.topic);
  m.key = std::move(record.key);
  m.payload = std::move(record.value).value_or("");
  for (const bus::Header h : record.headers) {
    if (iequals(h.name, content_type_header)) m.content_type = h.value;
    m.headers.emplace_back(h.name, h.value);
  }
  m.received = now;
  m.position = bus::Position{record.partition, record.offset};
  return m;
}

std::vector<bus::Position> next_offsets(const std::vector<Message>& messages) {
  std::map<std::int32_t, std::int64_t> next;
  for (const Message& m : messages) next[m.position->partition] = m.position->offset + 1;
  std::vector<bus::Position> out;
  for (const auto& [partition, offset] : next) out.push_back({partition, offset});
  return out;
}

class KafkaSource final : public Source, public std::enable_shared_from_this<KafkaSource> {
 public:
  KafkaSource(KafkaSourceConfig config, Surroundings& around)
      : config_(std::move(config)),
        around_(around),
        delivery_({"kafka", config_.source.name}, config_.source, around),
        connected_(around.metrics.gauge("fleetward_collector_connected", "1 while the source is connected.",
                                        {{"source", delivery_.name().text()}})) {
    away_[""] = "not connected yet";
  }

  ~KafkaSource() override { end_opening(); }

  // A cluster that is away is waited for, by a thread: to look for it may block.
  Status start() override {
    opener_ = std::thread([this] { open(); });
    return {};
  }

  void wake() override {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (const auto& consumer : consumers_) consumer->wake();
  }
  void close() override {
    end_opening();
    consumers_.clear();
    cluster_.reset();
  }

  Delivery& delivery() override { return delivery_; }

  Status ready() const override {
    const std::string& name = delivery_.name().text();
    if (delivery_.is_stuck()) return Error(ErrorCode::unavailable, name + ": the bus does not take more");
    const std::lock_guard lock(mutex_);
    for (const auto& [what, why] : away_)
      return Error(ErrorCode::unavailable, fmt::format("{}{}: {}", name, what, why));
    return {};
  }

 private:
  // ---- the thread of it

  void open() {
    while (true) {
      auto opened = config_.open();
      if (opened) {
        around_.scheduler.post([self = weak_from_this(), cluster = std::move(*opened)] {
          if (const auto source = self.lock()) source->begin(cluster);
        });
        return;
      }
      note("", opened.error().message);
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, open_again_after, [this] { return ended_; })) return;
    }
  }
  void end_opening() {
    wake();
    if (opener_.joinable()) opener_.join();
  }

  // ---- the scheduler's thread

  void begin(const std::shared_ptr<bus::Bus>& cluster) {
    if (around_.scope.stopping()) return;
    cluster_ = cluster;
    for (const std::string& topic : config_.topics) around_.scope.spawn("kafka-source", follow(topic));
    note("", "");
  }

  async::Task<void> follow(std::string topic) {
    const auto self = shared_from_this();
    bus::ConsumerOptions options;
    options.group = config_.group;
    options.topic = topic;
    options.member = config_.member + "." + topic;  // each topic's consumer is a member of its own
    options.session_timeout = config_.session_timeout;
    while (!around_.scope.stopping()) {
      auto consumer = cluster_->subscribe(around_.scheduler, options);
      note("/" + topic, consumer ? "" : consumer.error().message);
      if (!consumer) {
        co_await around_.scope.sleep(open_again_after);
        continue;
      }
      consumers_.push_back(std::move(*consumer));
      co_await read(*consumers_.back(), topic);
      co_return;
    }
  }

  async::Task<void> read(bus::Consumer& consumer, const std::string& topic) {
    while (!around_.scope.stopping()) {
      Result<bus::PollResult> polled = co_await consumer.poll(config_.source.limits.batch_messages_max, poll_wait);
      note("/" + topic, polled ? "" : polled.error().message);
      if (!polled) {
        co_await around_.scope.sleep(pause_after_failure);
        continue;
      }
      if (polled->records.empty()) continue;
      std::vector<Message> batch;
      for (bus::Record& record : polled->records)
        batch.push_back(message_of(std::move(record), around_.scheduler.now()));
      std::vector<bus::Position> next = next_offsets(batch);
      const bool delivered = co_await delivery_.deliver(std::move(batch));
      if (!delivered) break;
      const Status committed = co_await consumer.commit(std::move(next));
      // Read again some day, by us or by who has the partition now: the detector tells it apart by its offset.
      if (!committed)
        log::warn("source_offsets_not_committed",
                  {{"source", delivery_.name().text()}, {"error", committed.error().message}});
    }
    const Status closed = co_await consumer.close();
    if (!closed)
      log::warn("source_close_failed", {{"source", delivery_.name().text()}, {"error", closed.error().message}});
  }

  // ---- either

  // Why the cluster ("") or a topic of it is not read; empty: it is.
  void note(const std::string& what, const std::string& why) {
    const std::lock_guard lock(mutex_);
    const auto known = away_.find(what);
    if (why.empty() == (known == away_.end()) && !(what.empty() && why.empty())) {
      if (!why.empty()) known->second = why;
      return;
    }
    if (why.empty()) {
      away_.erase(what);
      log::info("source_connected", {{"source", delivery_.name().text() + what}});
    } else {
      away_[what] = why;
      log::warn("source_away", {{"source", delivery_.name().text() + what}, {"error", why}});
    }
    connected_.set(away_.empty() ? 1 : 0);
  }

  KafkaSourceConfig config_;
  Surroundings& around_;
  Delivery delivery_;
  metrics::Gauge& connected_;
  std::shared_ptr<bus::Bus> cluster_;
  std::vector<std::unique_ptr<bus::Consumer>> consumers_;
  std::thread opener_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ended_ = false;
  std::map<std::string, std::string> away_;  // what is not read, and why
};

}  // namespace

std::shared_ptr<Source> make_kafka_source(KafkaSourceConfig config, Surroundings& around) {
  return std::make_shared<KafkaSource>(std::move(config), around);
}

}  // namespace fleetward::collector
