// The distributed bus: Apache Kafka (3.9, 4.x) over librdkafka, ready to use.
//
// Partitions, groups, transactions and compaction are Kafka's; here is only what the promises of bus.hpp need on top.
// librdkafka's own threads do the network; what may block (transactions, look-ups) runs on threads of the bus.
//
// Limits: queue_bytes_max bytes wait for the brokers (then append() answers throttled); a record not taken by them
// within request_limit is answered unavailable; a transaction that is not over within transaction_limit is aborted by
// the broker, so a dead owner holds readers of committed records back no longer than that.
#pragma once

#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::bus {

struct KafkaOptions {
  std::string bootstrap;         // host:port, comma-separated
  std::string security = "tls";  // tls, sasl_tls, plain or sasl_plain; the plain ones only to loopback addresses
  std::string ca_file;           // PEM; empty: the system's authorities
  std::string certificate_file;  // PEM, of a client certificate; with key_file
  std::string key_file;
  std::string sasl_mechanism = "SCRAM-SHA-512";  // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
  std::string user;
  std::string password;             // never in a log or an error
  std::string compression = "lz4";  // none, gzip, snappy, lz4, zstd
  std::int64_t replication = 3;     // of topics that are made
  std::string client_id;            // of this process: the instance
  std::size_t queue_bytes_max = 64 << 20;
  Millis request_limit{10'000};
  Millis transaction_limit{10'000};
};

// Blocking: waits for the cluster up to request_limit. invalid_argument: an option is wrong; unavailable: no broker
// answers; unauthenticated: it does not take the credentials.
Result<std::unique_ptr<Bus>> open_kafka_bus(KafkaOptions options, metrics::Registry& metrics);

}  // namespace fleetward::bus
