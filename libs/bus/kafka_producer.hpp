// Appends to Kafka: idempotent, acknowledged by all replicas in sync, in order per partition.
//
// append() is for any thread and does not block; callbacks come on the producer's own thread, and are all made before
// it is gone. Limits: KafkaOptions::queue_bytes_max bytes wait; what is not taken within request_limit is unavailable.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "bus/kafka_client.hpp"

namespace fleetward::bus::kafka {

// The wire's form of a record's headers; none: it has none.
rd_kafka_headers_t* make_headers(const Headers& headers);
// Hands a copy of the record to the client. `opaque` comes back with its delivery.
rd_kafka_resp_err_t produce(rd_kafka_t* client, const OutRecord& record, std::int32_t partition, void* opaque);

// Where each record goes, and how many bytes they are.
struct Placement {
  std::vector<std::int32_t> partitions;
  std::size_t bytes = 0;
};

class Producer {
 public:
  static Result<std::unique_ptr<Producer>> make(const KafkaOptions& options);
  ~Producer();  // waits a little for what is under way, then answers it cancelled
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  void append(const Batch& records, Placement placement, AppendCallback done);
  // Answers on the producer's thread, as append() does.
  void refuse(AppendCallback done, Error why);
  // Blocking: learns where topics are before the first record for them comes.
  Status learn(const std::vector<TopicSpec>& topics);
  // It takes nothing any more: make another.
  [[nodiscard]] bool is_broken() const { return is_broken_; }
  [[nodiscard]] Status health() const;

 private:
  struct Pending;
  struct Slot;

  explicit Producer(const KafkaOptions& options) : options_(options) {}
  void run();
  static void on_delivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque);
  static void on_error(rd_kafka_t*, int code, const char* reason, void* opaque);
  void settle(Slot& slot, rd_kafka_resp_err_t code, std::int64_t offset);
  void answer(const std::shared_ptr<Pending>& pending);

  KafkaOptions options_;
  std::atomic<std::size_t> queued_bytes_{0};
  std::atomic<bool> is_broken_{false};
  std::atomic<bool> is_stopping_{false};
  mutable std::mutex mutex_;                    // last_, refused_
  Status last_;                                 // of the last delivery
  std::vector<std::function<void()>> refused_;  // answers that are to be given on the producer's thread
  Client client_;
  std::thread thread_;
};

}  // namespace fleetward::bus::kafka
