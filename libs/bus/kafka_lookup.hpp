// Questions to the cluster: topics, ends of partitions, committed offsets; and topics are made. Blocking, each within
// the limit of KafkaOptions. Thread-safe.
//
// It sees what is not committed yet: the end of a partition is where the next record goes.
#pragma once

#include <atomic>
#include <mutex>

#include "bus/kafka_client.hpp"
#include "bus/kafka_report.hpp"
#include "bus/storage.hpp"

namespace fleetward::bus::kafka {

class Lookup {
 public:
  static Result<std::unique_ptr<Lookup>> make(const KafkaOptions& options);

  // Partition counts by topic; of a topic only once each of its partitions has a leader. Empty `topic`: of all there
  // are.
  Result<std::map<std::string, std::int32_t, std::less<>>> partition_counts(const std::string& topic = {});
  // Where the brokers want to be reached: host:port, comma-separated.
  Result<std::string> addresses();
  Result<PartitionBounds> bounds(const std::string& topic, std::int32_t partition);
  // Of the partitions that have one. Waits for transactions that are about to say so.
  Result<std::vector<Position>> committed(const std::string& group, const std::string& topic,
                                          const std::vector<std::int32_t>& partitions);

  // Makes what is missing, and complains of what is there and wrong.
  Status ensure_topics(const std::vector<TopicSpec>& specs);
  // Of those that are there.
  Result<KafkaFacts> facts(const std::vector<TopicSpec>& specs);

 private:
  explicit Lookup(const KafkaOptions& options) : options_(options) {}
  static void on_error(rd_kafka_t*, int code, const char* reason, void* opaque);

  Result<std::vector<Position>> committed_now(const std::string& group, const std::string& topic,
                                              const std::vector<std::int32_t>& partitions);
  // `which`: RD_KAFKA_OFFSET_BEGINNING or RD_KAFKA_OFFSET_END.
  Result<std::int64_t> offset_at(const std::string& topic, std::int32_t partition, std::int64_t which);
  Result<rd_kafka_t*> client_of(const std::string& group);
  Result<Metadata> metadata(bool of_all, rd_kafka_topic_t* topic);
  Status refuse_while_away();
  void note_answer(rd_kafka_resp_err_t code);
  Status create(const std::vector<TopicSpec>& specs);
  Status wait_created(const std::vector<TopicSpec>& specs);
  Status check_settings(const std::vector<TopicSpec>& specs);
  // By topic, name by value.
  Result<std::map<std::string, std::map<std::string, std::string, std::less<>>>> settings_of_topics(
      const std::vector<std::string>& names);
  // The answer to what `ask` puts on the queue.
  Result<Event> ask(rd_kafka_admin_op_t operation, std::string_view what,
                    const std::function<void(rd_kafka_t*, const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& ask);

  KafkaOptions options_;
  std::mutex mutex_;                  // refused_, groups_
  Status refused_;                    // why a broker does not talk to us, though it is there
  std::atomic<bool> is_away_{false};  // the last question had no answer
  std::atomic<std::chrono::steady_clock::time_point> asked_at_{};  // the last question, its end
  Client client_;
  std::map<std::string, Client, std::less<>> groups_;  // one of each group that is asked about
};

// What a topic is made with.
std::map<std::string, std::string> settings_of(const TopicSpec& spec, std::int64_t replication);

// The client learns where the partitions of a topic are, instead of with the first record that it writes or reads.
Status learn_topic(rd_kafka_t* client, const std::string& topic, Millis limit);

}  // namespace fleetward::bus::kafka
