// Topics of an operator's Kafka cluster as a source: a batch is read, brought to our bus, and only then its offsets are
// committed.
#include <atomic>
#include <map>

#include "log/log.hpp"
#include "services/collector/sources.hpp"

namespace fleetward::collector {
namespace {

constexpr Millis poll_wait{1'000};
constexpr Millis pause_after_failure{500};
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
                                        {{"source", delivery_.name().text()}})) {}

  Status start() override {
    for (const std::string& topic : config_.topics) {
      bus::ConsumerOptions options;
      options.group = config_.group;
      options.topic = topic;
      options.member = config_.member;
      options.session_timeout = config_.session_timeout;
      auto consumer = config_.cluster->subscribe(around_.scheduler, options);
      if (!consumer) return consumer.error().with_context(delivery_.name().text() + "/" + topic);
      consumers_.push_back(std::move(*consumer));
      around_.scope.spawn("kafka-source", run(*consumers_.back()));
    }
    connected_.set(1);
    return {};
  }

  void wake() override {
    for (const auto& consumer : consumers_) consumer->wake();
  }

  Status ready() const override {
    if (delivery_.is_stuck())
      return Error(ErrorCode::unavailable, delivery_.name().text() + ": the bus does not take more");
    if (failing_ > 0) return Error(ErrorCode::unavailable, delivery_.name().text() + ": it cannot be read");
    return config_.cluster->health();
  }

 private:
  async::Task<void> run(bus::Consumer& consumer) {
    const auto self = shared_from_this();
    bool failing = false;
    while (!around_.scope.stopping()) {
      Result<bus::PollResult> polled = co_await consumer.poll(config_.source.limits.batch_messages_max, poll_wait);
      if (polled.ok() == failing) note(failing = !polled.ok(), polled.ok() ? "" : polled.error().message);
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

  void note(bool fails, const std::string& why) {
    failing_ += fails ? 1 : -1;
    connected_.set(failing_ > 0 ? 0 : 1);
    if (fails) log::warn("source_away", {{"source", delivery_.name().text()}, {"error", why}});
    else log::info("source_connected", {{"source", delivery_.name().text()}});
  }

  KafkaSourceConfig config_;
  Surroundings& around_;
  Delivery delivery_;
  metrics::Gauge& connected_;
  std::vector<std::unique_ptr<bus::Consumer>> consumers_;
  std::atomic<int> failing_{0};  // of its topics
};

}  // namespace

std::shared_ptr<Source> make_kafka_source(KafkaSourceConfig config, Surroundings& around) {
  return std::make_shared<KafkaSource>(std::move(config), around);
}

}  // namespace fleetward::collector
