// A real Kafka for one test program: started by tests/kafka.py, stopped at the end of the program, however that ends.
//
// FLEETWARD_KAFKA_VERSION chooses another version than the newest.
#pragma once

#include <string>
#include <vector>

#include "bus/kafka_bus.hpp"
#include "contract/child_process.hpp"

namespace fleetward::contract {

class KafkaCluster {
 public:
  // The program's own, with one broker, which all its tests share.
  static KafkaCluster& shared();

  explicit KafkaCluster(const std::vector<std::string>& arguments);
  ~KafkaCluster();
  KafkaCluster(const KafkaCluster&) = delete;
  KafkaCluster& operator=(const KafkaCluster&) = delete;

  // To come over the plain listener.
  [[nodiscard]] bus::KafkaOptions options() const;
  // Over TLS as the user that the cluster was made with.
  [[nodiscard]] bus::KafkaOptions secure_options() const;
  // What the cluster said of itself at its start: "bootstrap", "ca" and so on.
  [[nodiscard]] std::string about(const std::string& what) const;
  // "kill 0", "start 0", "stop 0": of one broker.
  void tell(const std::string& words);

 private:
  ChildProcess process_;
  std::string about_;  // JSON
};

}  // namespace fleetward::contract
