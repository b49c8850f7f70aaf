#include "contract/kafka_cluster.hpp"

#include <cstdlib>

namespace fleetward::contract {
namespace {

std::vector<std::string> command(const std::vector<std::string>& arguments) {
  std::vector<std::string> all{"/usr/bin/python3", FLEETWARD_SOURCE "/tests/kafka.py", "serve"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  if (const char* const version = std::getenv("FLEETWARD_KAFKA_VERSION")) {
    all.insert(all.end(), {"--version", version});
  }
  return all;
}

}  // namespace

KafkaCluster& KafkaCluster::shared() {
  static KafkaCluster cluster({"--user", "fleet:open-sesame"});
  return cluster;
}

KafkaCluster::KafkaCluster(const std::vector<std::string>& arguments)
    : process_(command(arguments)), about_(process_.read_line()) {
  if (about_.empty()) {
    fmt::print(stderr, "Kafka did not start: see above\n");
    std::abort();
  }
}

KafkaCluster::~KafkaCluster() { process_.finish(); }  // at the end of its input it stops

std::string KafkaCluster::about(const std::string& what) const {
  const std::string key = "\"" + what + "\": \"";
  const std::size_t start = about_.find(key);
  if (start == std::string::npos) std::abort();
  const std::size_t from = start + key.size();
  return about_.substr(from, about_.find('"', from) - from);
}

void KafkaCluster::tell(const std::string& words) {
  process_.write_line(words);
  if (process_.read_line() != "ok") std::abort();
}

bus::KafkaOptions KafkaCluster::options() const {
  bus::KafkaOptions out;
  out.bootstrap = about("bootstrap");
  out.security = "plain";
  out.replication = 1;
  out.client_id = "contract";
  return out;
}

bus::KafkaOptions KafkaCluster::secure_options() const {
  bus::KafkaOptions out = options();
  out.bootstrap = about("secure_bootstrap");
  out.security = "sasl_tls";
  out.ca_file = about("ca");
  out.user = "fleet";
  out.password = "open-sesame";
  return out;
}

}  // namespace fleetward::contract
