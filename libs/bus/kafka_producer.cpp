#include "bus/kafka_producer.hpp"

#include <algorithm>

#include "bus/kafka_lookup.hpp"
#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

constexpr int poll_wait_ms = 50;  // answers of refused appends wait no longer than that
constexpr int stop_limit_ms = 3'000;

}  // namespace

rd_kafka_headers_t* make_headers(const Headers& headers) {
  if (headers.empty()) return nullptr;
  rd_kafka_headers_t* const out = rd_kafka_headers_new(4);
  for (const Header& h : headers) {
    rd_kafka_header_add(out, h.name.data(), static_cast<ssize_t>(h.name.size()), h.value.data(),
                        static_cast<ssize_t>(h.value.size()));
  }
  return out;
}

rd_kafka_resp_err_t produce(rd_kafka_t* client, const OutRecord& record, std::int32_t partition, void* opaque) {
  std::array<rd_kafka_vu_t, 7> fields{};
  std::size_t count = 0;
  const auto next = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    fields[count].vtype = type;
    return fields[count++];
  };
  rd_kafka_headers_t* const headers = make_headers(record.headers);
  next(RD_KAFKA_VTYPE_TOPIC).u.cstr = record.topic.c_str();
  next(RD_KAFKA_VTYPE_PARTITION).u.i32 = partition;
  next(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  next(RD_KAFKA_VTYPE_OPAQUE).u.ptr = opaque;
  next(RD_KAFKA_VTYPE_KEY).u.mem = {const_cast<char*>(record.key.data()), record.key.size()};  // copied as well
  if (record.value) next(RD_KAFKA_VTYPE_VALUE).u.mem = {const_cast<char*>(record.value->data()), record.value->size()};
  if (headers != nullptr) next(RD_KAFKA_VTYPE_HEADERS).u.headers = headers;
  const Failure failure(rd_kafka_produceva(client, fields.data(), count));
  if (!failure) return RD_KAFKA_RESP_ERR_NO_ERROR;
  if (headers != nullptr) rd_kafka_headers_destroy(headers);
  return rd_kafka_error_code(failure.get());
}

struct Producer::Slot {
  std::shared_ptr<Pending> pending;  // until its record is settled
  std::size_t index = 0;
};

struct Producer::Pending {
  std::vector<Position> positions;
  std::vector<Slot> slots;
  std::atomic<std::size_t> left{0};
  std::atomic<rd_kafka_resp_err_t> failure{RD_KAFKA_RESP_ERR_NO_ERROR};  // the first
  std::size_t bytes = 0;
  AppendCallback done;
};

Result<std::unique_ptr<Producer>> Producer::make(const KafkaOptions& options) {
  std::unique_ptr<Producer> out(new Producer(options));
  // Its own limit stands above ours, so that ours is the one that is met.
  const std::size_t queue_kb = std::min<std::size_t>(options.queue_bytes_max / 512 + 16'384, 2'097'151);
  ClientSettings settings;
  settings.settings = {{"enable.idempotence", "true"},
                       {"acks", "all"},
                       {"partitioner", "murmur2_random"},
                       {"linger.ms", "0"},
                       {"compression.codec", options.compression},
                       {"message.timeout.ms", std::to_string(options.request_limit.count())},
                       {"queue.buffering.max.messages", "10000000"},
                       {"queue.buffering.max.kbytes", std::to_string(queue_kb)}};
  settings.delivered = on_delivered;
  settings.failed = on_error;
  settings.opaque = out.get();
  Result<Client> client = make_client(RD_KAFKA_PRODUCER, options, settings);
  if (!client) return client.error();
  out->client_ = std::move(*client);
  out->thread_ = std::thread([producer = out.get()] { producer->run(); });
  return out;
}

Producer::~Producer() {
  if (thread_.joinable()) {
    if (rd_kafka_flush(client_.get(), stop_limit_ms) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
      rd_kafka_flush(client_.get(), stop_limit_ms);
    }
    is_stopping_ = true;
    thread_.join();
  }
}

Status Producer::learn(const std::vector<TopicSpec>& topics) {
  for (const TopicSpec& topic : topics) {
    if (const Status learnt = learn_topic(client_.get(), topic.name, options_.request_limit); !learnt) return learnt;
  }
  return {};
}

void Producer::run() {
  for (bool last_round = false;; last_round = is_stopping_) {
    rd_kafka_poll(client_.get(), last_round ? 0 : poll_wait_ms);
    std::vector<std::function<void()>> refused;
    {
      const std::lock_guard lock(mutex_);
      refused.swap(refused_);
    }
    for (const auto& tell : refused) tell();
    if (last_round) return;
  }
}

void Producer::append(const Batch& records, Placement placement, AppendCallback done) {
  auto pending = std::make_shared<Pending>();
  const std::size_t count = records->size();
  pending->bytes = placement.bytes;
  pending->done = std::move(done);
  const std::size_t before = queued_bytes_.fetch_add(placement.bytes);
  if (count == 0 || (before > 0 && before + placement.bytes > options_.queue_bytes_max)) {
    if (count > 0) pending->failure = RD_KAFKA_RESP_ERR__QUEUE_FULL;
    const std::lock_guard lock(mutex_);
    refused_.emplace_back([this, pending] { answer(pending); });
    return;
  }
  pending->positions.resize(count);
  pending->slots.resize(count);
  pending->left = count;
  for (std::size_t i = 0; i < count; ++i) {
    pending->positions[i] = {placement.partitions[i], -1};
    pending->slots[i] = {pending, i};
  }
  for (std::size_t i = 0; i < count; ++i) {
    const rd_kafka_resp_err_t code = produce(client_.get(), (*records)[i], placement.partitions[i], &pending->slots[i]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    // What stands behind it in the batch is not tried: order is kept.
    const std::lock_guard lock(mutex_);
    refused_.emplace_back([this, pending, i, count, code] {
      for (std::size_t k = i; k < count; ++k) settle(pending->slots[k], code, -1);
    });
    return;
  }
}

void Producer::refuse(AppendCallback done, Error why) {
  const std::lock_guard lock(mutex_);
  refused_.emplace_back([done = std::move(done), why = std::move(why)] { done(why); });
}

void Producer::settle(Slot& slot, rd_kafka_resp_err_t code, std::int64_t offset) {
  const std::shared_ptr<Pending> pending = std::move(slot.pending);
  pending->positions[slot.index].offset = offset;
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_resp_err_t none = RD_KAFKA_RESP_ERR_NO_ERROR;
    pending->failure.compare_exchange_strong(none, code);
  }
  if (--pending->left == 0) answer(pending);
}

void Producer::answer(const std::shared_ptr<Pending>& pending) {
  queued_bytes_ -= pending->bytes;
  const rd_kafka_resp_err_t code = pending->failure;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    {
      const std::lock_guard lock(mutex_);
      last_ = Status();
    }
    pending->done(std::move(pending->positions));
    return;
  }
  Error error = code == RD_KAFKA_RESP_ERR__QUEUE_FULL
                    ? Error(ErrorCode::throttled, "the bus has too much waiting to be written; retry later")
                    : to_error(code, "append");
  if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
    const std::lock_guard lock(mutex_);
    last_ = error;
  }
  pending->done(std::move(error));
}

void Producer::on_delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  static_cast<Producer*>(opaque)->settle(*static_cast<Slot*>(message->_private), message->err, message->offset);
}

void Producer::on_error(rd_kafka_t* client, int code, const char* reason, void* opaque) {
  if (code != RD_KAFKA_RESP_ERR__FATAL) return;  // passes, or is told by what fails for it; the log has it
  std::array<char, 256> text{};
  rd_kafka_fatal_error(client, text.data(), text.size());
  log::error("kafka_producer_broken", {{"reason", reason}, {"error", text.data()}});
  static_cast<Producer*>(opaque)->is_broken_ = true;
}

Status Producer::health() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

}  // namespace fleetward::bus::kafka
