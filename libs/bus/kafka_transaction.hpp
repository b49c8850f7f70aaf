// One member's transactions: records and offsets together, or not at all. Begin, produce and commit are one go, so that
// a process that dies leaves nothing open for longer than KafkaOptions::transaction_limit.
//
// Blocking, for one thread at a time: the member's worker.
#pragma once

#include <set>

#include "bus/kafka_client.hpp"

namespace fleetward::bus::kafka {

class Transactions {
 public:
  // `id`: of the group's member by its name; whoever takes it over aborts what the one before left open.
  Transactions(const KafkaOptions& options, std::string id) : options_(options), id_(std::move(id)) {}

  // Ends what the member's life before left open. commit() does so by itself.
  Status open();
  // `group`: the membership under which the offsets are committed; a broker refuses one that is over. fenced: a newer
  // owner exists. Otherwise as UnitOfWork::commit().
  Result<std::vector<Position>> commit(const std::vector<OutRecord>& records, const std::vector<std::int32_t>& places,
                                       const rd_kafka_topic_partition_list_t& offsets,
                                       const rd_kafka_consumer_group_metadata_t& group);

 private:
  // What became of a step that failed.
  enum class After { give_up, make_anew };

  Status produce_all(const std::vector<OutRecord>& records, std::vector<Position>& positions);
  // Ends the transaction after `failure` of `step`; says whether another try with a new producer makes sense.
  After clean_up(const rd_kafka_error_t& failure, std::string_view step);
  Failure send_offsets(const rd_kafka_topic_partition_list_t& offsets, const rd_kafka_consumer_group_metadata_t& group);
  Failure end();
  static void on_delivered(rd_kafka_t*, const rd_kafka_message_t* message, void*);

  KafkaOptions options_;
  std::string id_;
  std::set<std::string> topics_;  // that the client knows
  Client client_;                 // none until it is needed, and after a failure that it does not survive
};

}  // namespace fleetward::bus::kafka
