#include "bus/kafka_transaction.hpp"

#include <signal.h>

#include <algorithm>

#include "bus/kafka_lookup.hpp"
#include "bus/kafka_producer.hpp"
#include "core/fault.hpp"
#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

using Clock = std::chrono::steady_clock;

int ms_until(Clock::time_point end) {
  return std::max(1, to_int(std::chrono::duration_cast<Millis>(end - Clock::now())));
}

// The step again while it says that this can help, until `end`.
template <class Step>
Failure with_retries(Clock::time_point end, const Step& step) {
  Failure failure(step(ms_until(end)));
  while (failure && rd_kafka_error_is_retriable(failure.get()) == 1 && Clock::now() < end) {
    failure.reset(step(ms_until(end)));
  }
  return failure;
}

Error to_commit_error(const rd_kafka_error_t& failure, std::string_view step) {
  Error error = to_error(failure, step);
  // The producer of another life of this member; whether we are the owner, the group says with the next try.
  const rd_kafka_resp_err_t code = rd_kafka_error_code(&failure);
  if (code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED)
    error.code = ErrorCode::unavailable;
  return error;
}

}  // namespace

Status Transactions::open() {
  if (client_) return {};
  const std::string limit_ms = std::to_string(options_.transaction_limit.count());
  const std::string socket_limit_ms =
      std::to_string(std::min(options_.request_limit, options_.transaction_limit).count());
  ClientSettings settings;
  settings.settings = {{"transactional.id", id_},
                       {"transaction.timeout.ms", limit_ms},
                       {"message.timeout.ms", limit_ms},
                       {"socket.timeout.ms", socket_limit_ms},  // may not be longer
                       {"linger.ms", "1"},
                       {"compression.codec", options_.compression},
                       {"queue.buffering.max.messages", "100000"}};
  settings.delivered = on_delivered;
  Result<Client> client = make_client(RD_KAFKA_PRODUCER, options_, settings);
  if (!client) return client.error();
  const Clock::time_point end = Clock::now() + options_.request_limit + options_.transaction_limit;
  const Failure failure = with_retries(end, [&](int ms) { return rd_kafka_init_transactions(client->get(), ms); });
  if (failure) return to_error(*failure, "begin transactions");
  client_ = std::move(*client);
  topics_.clear();
  return {};
}

Status Transactions::produce_all(const std::vector<OutRecord>& records, std::vector<Position>& positions) {
  constexpr int full_wait_ms = 20;
  const Clock::time_point end = Clock::now() + options_.transaction_limit;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (topics_.insert(records[i].topic).second) {
      const Status learnt = learn_topic(client_.get(), records[i].topic, options_.request_limit);
      if (!learnt) return learnt.error();
    }
    rd_kafka_resp_err_t code = produce(client_.get(), records[i], positions[i].partition, &positions[i]);
    while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && Clock::now() < end) {
      rd_kafka_poll(client_.get(), full_wait_ms);
      code = produce(client_.get(), records[i], positions[i].partition, &positions[i]);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "a record of a unit of work");
    if (i % 1'000 == 999) rd_kafka_poll(client_.get(), 0);
  }
  return {};
}

void Transactions::on_delivered(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  static_cast<Position*>(message->_private)->offset = message->offset;
}

Failure Transactions::send_offsets(const rd_kafka_topic_partition_list_t& offsets,
                                   const rd_kafka_consumer_group_metadata_t& group) {
  return with_retries(Clock::now() + options_.transaction_limit, [&](int ms) {
    return rd_kafka_send_offsets_to_transaction(client_.get(), &offsets, &group, ms);
  });
}

Failure Transactions::end() {
  // A try that took too long is asked for again: the broker knows whether it went through.
  return with_retries(Clock::now() + options_.transaction_limit + options_.request_limit,
                      [&](int ms) { return rd_kafka_commit_transaction(client_.get(), ms); });
}

Transactions::After Transactions::clean_up(const rd_kafka_error_t& failure, std::string_view step) {
  log::warn("kafka_transaction_failed", {{"id", id_}, {"step", step}, {"error", rd_kafka_error_string(&failure)}});
  if (rd_kafka_error_is_fatal(&failure) == 1) {
    client_.reset();
    return After::make_anew;
  }
  const Failure not_aborted = with_retries(Clock::now() + options_.request_limit,
                                           [&](int ms) { return rd_kafka_abort_transaction(client_.get(), ms); });
  if (not_aborted) client_.reset();  // who comes after it ends what is open
  return After::give_up;
}

Result<std::vector<Position>> Transactions::commit(const std::vector<OutRecord>& records,
                                                   const std::vector<std::int32_t>& places,
                                                   const rd_kafka_topic_partition_list_t& offsets,
                                                   const rd_kafka_consumer_group_metadata_t& group) {
  constexpr int tries_max = 2;  // the second with a new producer
  for (int tries = 1;; ++tries) {
    if (const Status opened = open(); !opened) return opened.error();
    std::vector<Position> positions;
    positions.reserve(places.size());
    for (const std::int32_t place : places) positions.push_back({place, -1});
    std::string_view step = "begin a transaction";
    Failure failure(rd_kafka_begin_transaction(client_.get()));
    if (!failure) {
      if (const Status produced = produce_all(records, positions); !produced) {
        const Failure not_aborted(rd_kafka_abort_transaction(client_.get(), to_int(options_.request_limit)));
        if (not_aborted) client_.reset();
        return produced.error();
      }
      step = "commit the offsets of a unit of work";
      failure = send_offsets(offsets, group);
    }
    if (tries == 1 && fault::is_armed("bus.kafka_stop_in_transaction")) (void)::raise(SIGSTOP);
    if (!failure) {
      step = "commit a unit of work";
      failure = end();
    }
    if (!failure) return positions;
    const Error error = to_commit_error(*failure, step);
    if (clean_up(*failure, step) == After::give_up || tries == tries_max) return error;
  }
}

}  // namespace fleetward::bus::kafka
