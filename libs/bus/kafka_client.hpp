// What the files of the Kafka bus share of librdkafka: owned handles, a client out of KafkaOptions, its errors as ours.
//
// For kafka_*.cpp only: nobody else sees librdkafka. Thread-safe.
#pragma once

#include <librdkafka/rdkafka.h>

#include <map>

#include "bus/kafka_bus.hpp"

namespace fleetward::bus::kafka {

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* owned) const {
    destroy(owned);
  }
};
template <class T, auto destroy>
using Owned = std::unique_ptr<T, Destroy<destroy>>;

using Client = Owned<rd_kafka_t, rd_kafka_destroy>;
using Configuration = Owned<rd_kafka_conf_t, rd_kafka_conf_destroy>;
using Queue = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using Event = Owned<rd_kafka_event_t, rd_kafka_event_destroy>;
using Partitions = Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy>;
using Failure = Owned<rd_kafka_error_t, rd_kafka_error_destroy>;  // none: it went well
using GroupMetadata = Owned<rd_kafka_consumer_group_metadata_t, rd_kafka_consumer_group_metadata_destroy>;
using Topic = Owned<rd_kafka_topic_t, rd_kafka_topic_destroy>;
using Metadata = Owned<const rd_kafka_metadata_t, rd_kafka_metadata_destroy>;

// Of a record on the wire, above its key, value and headers.
constexpr std::size_t record_overhead_max = 64 << 10;

// All that is wrong with them, or how they contradict one another.
Status check(const KafkaOptions& options);
// Whether each of the addresses (host:port, comma-separated) is of this machine.
bool are_loopback(std::string_view addresses);

struct ClientSettings {
  std::map<std::string, std::string> settings;  // beside those out of the options
  int events = 0;                               // RD_KAFKA_EVENT_*
  void (*delivered)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr;
  void (*failed)(rd_kafka_t*, int, const char*, void*) = nullptr;
  void* opaque = nullptr;
};
Result<Client> make_client(rd_kafka_type_t type, const KafkaOptions& options, const ClientSettings& settings);

// "what: what librdkafka says of it", with the code that callers act on.
Error to_error(rd_kafka_resp_err_t code, std::string_view what, std::string_view text = {});
Error to_error(const rd_kafka_error_t& failure, std::string_view what);

Partitions make_partitions(const std::string& topic, const std::vector<Position>& positions);

int to_int(Millis duration);

// A record as it was read; one with headers or without.
Record to_record(const rd_kafka_message_t& message);

}  // namespace fleetward::bus::kafka
