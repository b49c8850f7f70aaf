#include "bus/kafka_reader.hpp"

#include <algorithm>

#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

constexpr std::size_t batch_bytes_max = 8 << 20;
constexpr Millis wait_max{2'000};  // looked at that often even if nobody says that there is something

// The client and what it reads, shared with the threads that start and end it.
class Source {
 public:
  static Result<std::shared_ptr<Source>> make(const KafkaCore& core, const std::string& topic) {
    ClientSettings settings;
    settings.settings = {
        {"isolation.level", "read_committed"}, {"auto.offset.reset", "earliest"},      {"enable.partition.eof", "true"},
        {"fetch.wait.max.ms", "100"},  // how late an end is seen that transactions have hidden
        {"fetch.error.backoff.ms", "50"},      {"queued.max.messages.kbytes", "32768"}};
    settings.events = RD_KAFKA_EVENT_ERROR;
    Result<Client> client = make_client(RD_KAFKA_CONSUMER, core.options, settings);
    if (!client) return client.error();
    auto out = std::make_shared<Source>();
    out->client_ = std::move(*client);
    out->queue_.reset(rd_kafka_queue_new(out->client_.get()));
    out->topic_.reset(rd_kafka_topic_new(out->client_.get(), topic.c_str(), nullptr));
    return out;
  }

  ~Source() {
    for (const std::int32_t p : started_) rd_kafka_consume_stop(topic_.get(), p);
  }

  Status start(const std::vector<Position>& from, Millis limit) {
    const Status learnt = learn_topic(client_.get(), rd_kafka_topic_name(topic_.get()), limit);
    if (!learnt) return learnt;
    for (const Position& p : from) {
      if (rd_kafka_consume_start_queue(topic_.get(), p.partition, p.offset, queue_.get()) != 0) {
        return to_error(rd_kafka_last_error(), "read");
      }
      started_.push_back(p.partition);
    }
    return {};
  }

  // `ready` is called, on a thread of the client, when there is something after there was nothing.
  void listen(async::Event* ready) {
    const auto notify = [](rd_kafka_t*, void* event) { static_cast<async::Event*>(event)->notify(); };
    rd_kafka_queue_cb_event_enable(queue_.get(), ready == nullptr ? nullptr : +notify, ready);
  }
  Event next() { return Event(rd_kafka_queue_poll(queue_.get(), 0)); }

 private:
  Client client_;
  Queue queue_;
  Topic topic_;
  std::vector<std::int32_t> started_;
};

class KafkaReader final : public Reader {
 public:
  KafkaReader(KafkaCorePtr core, async::Scheduler& scheduler, std::string topic, std::shared_ptr<Source> source,
              const std::vector<Position>& start)
      : core_(std::move(core)),
        scheduler_(scheduler),
        topic_(std::move(topic)),
        source_(std::move(source)),
        event_(scheduler) {
    for (const Position& p : start) next_[p.partition] = p.offset;
    source_->listen(&event_);
  }
  ~KafkaReader() override {
    source_->listen(nullptr);
    core_->closer.post([source = std::move(source_)]() mutable { source.reset(); });
  }

  async::Task<Result<std::vector<Record>>> poll(std::size_t records_max, Millis wait) override {
    if (!is_started_) {
      const Status started = co_await start();
      if (!started) co_return started.error();
    }
    Result<std::vector<Record>> some = take(records_max);
    if (!some.ok() || !some->empty() || wait <= Millis(0)) co_return some;
    co_await event_.wait(std::min(wait, wait_max));
    some = take(records_max);
    co_return some;
  }

  void wake() override { event_.notify(); }

  [[nodiscard]] bool caught_up() const override {
    return is_started_ &&
           std::all_of(end_.begin(), end_.end(), [this](const auto& e) { return next_.at(e.first) >= e.second; });
  }

  [[nodiscard]] std::vector<Position> positions() const override {
    std::vector<Position> out;
    for (const auto& [partition, offset] : next_) out.push_back({partition, offset});
    return out;
  }

 private:
  // Learns where its partitions begin and end, then reads.
  async::Task<Status> start() {
    std::vector<Position> wanted = positions();
    std::function<Result<std::vector<PartitionRange>>()> look = [core = core_, topic = topic_, source = source_,
                                                                 wanted]() -> Result<std::vector<PartitionRange>> {
      std::vector<PartitionRange> out;
      std::vector<Position> from;
      for (const Position& p : wanted) {
        const Result<PartitionBounds> bounds = core->lookup->bounds(topic, p.partition);
        if (!bounds) return bounds.error();
        out.push_back({p.partition, bounds->begin, bounds->end});
        from.push_back({p.partition, std::max(p.offset, bounds->begin)});
      }
      const Status started = source->start(from, core->options.request_limit);
      if (!started) return started.error();
      return out;
    };
    const Result<std::vector<PartitionRange>> ranges =
        co_await on_thread<std::vector<PartitionRange>>(core_->lookups, scheduler_, look);
    if (!ranges) co_return ranges.error();
    for (const PartitionRange& r : *ranges) {
      next_[r.partition] = std::max(next_[r.partition], r.begin);
      end_[r.partition] = r.end;
    }
    is_started_ = true;
    co_return Status();
  }

  Result<std::vector<Record>> take(std::size_t records_max) {
    std::vector<Record> out;
    std::size_t bytes = 0;
    while (out.size() < records_max && bytes < batch_bytes_max) {
      const Event event = source_->next();
      if (!event) break;
      if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
        if (const Status passed = note_error(event.get()); !passed && out.empty()) return passed.error();
        continue;
      }
      while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event.get())) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
          if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) note_end(message->partition, message->offset);
          continue;
        }
        bytes += message->len + message->key_len;
        next_[message->partition] = message->offset + 1;
        out.push_back(to_record(*message));
      }
    }
    return out;
  }

  // Nothing more to be read below `offset`: what was there is returned, or was compacted, or is no record.
  void note_end(std::int32_t partition, std::int64_t offset) {
    const auto found = next_.find(partition);
    if (found != next_.end()) found->second = std::max(found->second, offset);
  }

  Status note_error(rd_kafka_event_t* event) {
    const rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      const Owned<rd_kafka_topic_partition_t, rd_kafka_topic_partition_destroy> at(
          rd_kafka_event_topic_partition(event));
      if (at) note_end(at->partition, at->offset);
      return {};
    }
    const Error error = to_error(code, "read " + topic_, rd_kafka_event_error_string(event));
    if (error.code != ErrorCode::unavailable) return error;
    log::warn("kafka_read_failed", {{"topic", topic_}, {"error", error.message}});  // the client goes on trying
    return {};
  }

  KafkaCorePtr core_;
  async::Scheduler& scheduler_;
  std::string topic_;
  std::shared_ptr<Source> source_;
  async::Event event_;
  std::map<std::int32_t, std::int64_t> next_;
  std::map<std::int32_t, std::int64_t> end_;  // when it was first polled
  bool is_started_ = false;
};

}  // namespace

Result<std::unique_ptr<Reader>> make_reader(KafkaCorePtr core, async::Scheduler& scheduler, std::string topic,
                                            const std::vector<Position>& start) {
  Result<std::shared_ptr<Source>> source = Source::make(*core, topic);
  if (!source) return source.error();
  return std::unique_ptr<Reader>(
      std::make_unique<KafkaReader>(std::move(core), scheduler, std::move(topic), std::move(*source), start));
}

}  // namespace fleetward::bus::kafka
