// The collector role: fleets that already publish elsewhere. It reads reports from operators' own Kafka topics and MQTT
// brokers and puts them onto topic `devices` in the shape in which gateways do.
//
// A message is acknowledged to its source (offset commit, PUBACK) only after the bus has it durably: as a report, or,
// where it cannot be used, as a dead letter with the reason. Each message ends in exactly one
// fleetward_collector_messages_total{source,result}. When the bus or the store does not take more, sources are not read
// and nothing is acknowledged. It tells that it is there on topic `gateways`, so that detectors know its outages from
// the devices' silence.
//
// Lives on its scheduler; start() and stop() are called from another thread. Limits: SourceLimits of each source; what
// a source has under way is one batch.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bus/bus.hpp"
#include "collect/translator.hpp"
#include "connect/mqtt_client.hpp"
#include "crypto/random.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::collector {

struct SourceLimits {
  std::size_t batch_messages_max = 1'000;
  std::size_t waiting_bytes_max = 16 << 20;  // of an MQTT source, beyond it its socket is not read
};

struct SourceConfig {
  std::string name;  // of the source; a part of what its messages are told apart by: not given to another one later
  collect::SourceFormat format;
  // The source itself sees to it that a device reports for itself alone. Else violations of its reports lead to no
  // action without a person.
  bool vouched = false;
  bool takes_unknown = false;  // reports of things that are not registered
  SourceLimits limits;
};

struct MqttSourceConfig {
  SourceConfig source;
  connect::MqttClientConfig client;
};

struct KafkaSourceConfig {
  SourceConfig source;
  // Opens the operator's cluster; called from a thread of its own, again and again until it is there.
  std::function<Result<std::shared_ptr<bus::Bus>>()> open;
  std::vector<std::string> topics;
  std::string group;
  std::string member;
  Millis session_timeout{45'000};
};

struct CollectorConfig {
  std::string instance = "collector-1";
  std::vector<MqttSourceConfig> mqtt;
  std::vector<KafkaSourceConfig> kafka;
  Millis heartbeat_every{1'000};
  Millis lease{10'000};
};

class Collector {
 public:
  // All of them outlive the collector.
  Collector(CollectorConfig config, bus::Bus& bus, store::Store& store, async::Scheduler& scheduler,
            metrics::Registry& metrics, crypto::Random& random);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  Status start();
  // What is under way is made durable and acknowledged, as far as it can be in that time.
  void stop(Millis limit);
  // Good when every source is connected and what it brought is taken. Thread-safe.
  [[nodiscard]] Status ready() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::collector
