#include "services/fleetward/settings_backends.hpp"

#include "core/text.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t port_max = 65535;

// The first line of a file that only its owner may read; an empty path is no password.
Result<std::string> read_password(const std::string& path) {
  if (path.empty()) return std::string();
  const Result<std::string> text = read_secret_file(path);
  if (!text) return text.error().with_context("password_file");
  const std::string password(trim(text->substr(0, text->find('\n'))));
  if (password.empty()) return Error(ErrorCode::invalid_argument, "password_file is empty");
  return password;
}

Status check_pair(const std::string& certificate_file, const std::string& key_file) {
  if (certificate_file.empty() == key_file.empty()) return {};
  return {ErrorCode::invalid_argument, "certificate_file and key_file go together: set both or neither"};
}

}  // namespace

void describe_kafka_connection(config::Section& s, BusSettings& c) {
  s.text("bootstrap", c.bootstrap, "Kafka: brokers to begin with, host:port, comma-separated", 2048);
  s.choice("security", c.security, "Kafka: how to connect; plain and sasl_plain go without TLS, to this machine only",
           {"tls", "sasl_tls", "plain", "sasl_plain"});
  s.text("ca_file", c.ca_file, "Kafka: PEM file of the authorities to trust; empty: the system's");
  s.text("certificate_file", c.certificate_file, "Kafka: PEM file of our own certificate, where brokers ask for one");
  s.text("key_file", c.key_file, "Kafka: PEM file of its key");
  s.choice("sasl_mechanism", c.sasl_mechanism, "Kafka: how user and password are shown",
           {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"});
  s.text("user", c.user, "Kafka: user of sasl_tls and sasl_plain", 255);
  s.text("password_file", c.password_file, "Kafka: file (0600) with that user's password");
}

Status check_kafka_connection(const BusSettings& c) {
  if (c.bootstrap.empty()) return {ErrorCode::invalid_argument, "bootstrap is missing: name a broker as host:port"};
  if (c.security.starts_with("sasl") && (c.user.empty() || c.password_file.empty()))
    return {ErrorCode::invalid_argument, "security " + c.security + " needs user and password_file"};
  return check_pair(c.certificate_file, c.key_file);
}

config::Section describe_bus(BusSettings& c) {
  config::Section s("bus", "The log: files in the data folder (one process), or Kafka (a process for each role)");
  s.choice("backend", c.backend, "Where the log is", {"embedded", "kafka"});
  describe_kafka_connection(s, c);
  s.choice("compression", c.compression, "Kafka: how batches are compressed",
           {"none", "gzip", "snappy", "lz4", "zstd"});
  s.integer("replication", c.replication, "Kafka: copies of each topic that is made; what exists stays as it is", 1,
            15);
  s.check([&c]() -> Status {
    if (c.is_embedded()) return {};
    return check_kafka_connection(c);
  });
  return s;
}

config::Section describe_store(StoreSettings& c) {
  config::Section s("store", "What people and the responder decide: a file in the data folder, or PostgreSQL");
  s.choice("backend", c.backend, "Where the store is", {"sqlite", "postgres"});
  s.text("host", c.host, "PostgreSQL: its name, address or (beginning with /) folder of its socket", 255);
  s.integer("port", c.port, "PostgreSQL: its port", 1, port_max);
  s.text("database", c.database, "PostgreSQL: the database", 63);
  s.text("user", c.user, "PostgreSQL: the user", 63);
  s.text("password_file", c.password_file, "PostgreSQL: file (0600) with that user's password; empty: none is shown");
  s.boolean("tls", c.tls, "PostgreSQL: TLS, with its name verified; without it to this machine only");
  s.text("ca_file", c.ca_file, "PostgreSQL: PEM file of the authorities to trust; empty: the system's");
  s.text("certificate_file", c.certificate_file, "PostgreSQL: PEM file of our own certificate, where it asks for one");
  s.text("key_file", c.key_file, "PostgreSQL: PEM file of its key");
  s.integer("connections", c.connections, "PostgreSQL: connections of this process, beside one that listens", 1, 64);
  s.check([&c]() -> Status { return check_pair(c.certificate_file, c.key_file); });
  return s;
}

Result<bus::KafkaOptions> kafka_options(const BusSettings& c, const std::string& instance) {
  Result<std::string> password = read_password(c.password_file);
  if (!password) return password.error();
  bus::KafkaOptions options;
  options.bootstrap = c.bootstrap;
  options.security = c.security;
  options.ca_file = c.ca_file;
  options.certificate_file = c.certificate_file;
  options.key_file = c.key_file;
  options.sasl_mechanism = c.sasl_mechanism;
  options.user = c.user;
  options.password = std::move(*password);
  options.compression = c.compression;
  options.replication = c.replication;
  options.client_id = instance;
  return options;
}

Result<store::PostgresOptions> postgres_options(const StoreSettings& c) {
  Result<std::string> password = read_password(c.password_file);
  if (!password) return password.error();
  store::PostgresOptions options;
  options.host = c.host;
  options.port = c.port;
  options.database = c.database;
  options.user = c.user;
  options.password = std::move(*password);
  options.tls = c.tls;
  options.ca_file = c.ca_file;
  options.certificate_file = c.certificate_file;
  options.key_file = c.key_file;
  options.connections = c.connections;
  return options;
}

}  // namespace fleetward::program
