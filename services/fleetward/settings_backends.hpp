// Settings of log and store: embedded in the data folder, or Kafka and PostgreSQL.
#pragma once

#include <cstdint>
#include <string>

#include "bus/kafka_bus.hpp"
#include "config/config.hpp"
#include "core/result.hpp"
#include "store/postgres_store.hpp"

namespace fleetward::program {

struct BusSettings {
  std::string backend = "embedded";
  std::string bootstrap;
  std::string security = "tls";
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string sasl_mechanism = "SCRAM-SHA-512";
  std::string user;
  std::string password_file;
  std::string compression = "lz4";
  std::int64_t replication = 3;

  [[nodiscard]] bool is_embedded() const { return backend == "embedded"; }
};

struct StoreSettings {
  std::string backend = "sqlite";
  std::string host = "localhost";
  std::int64_t port = 5432;
  std::string database = "fleetward";
  std::string user = "fleetward";
  std::string password_file;
  bool tls = true;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::int64_t connections = 4;

  [[nodiscard]] bool is_embedded() const { return backend == "sqlite"; }
};

// Over their argument, which must outlive the description.
config::Section describe_bus(BusSettings& settings);
config::Section describe_store(StoreSettings& settings);

// How a Kafka cluster is reached, ours or an operator's whose topics are collected.
void describe_kafka_connection(config::Section& section, BusSettings& settings);
Status check_kafka_connection(const BusSettings& settings);

// With the password read. `instance` is the name of this process.
Result<bus::KafkaOptions> kafka_options(const BusSettings& settings, const std::string& instance);
Result<store::PostgresOptions> postgres_options(const StoreSettings& settings);

}  // namespace fleetward::program
