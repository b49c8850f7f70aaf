// The two kinds of source. Each runs as tasks of the collector's scope, on its scheduler, until that stops.
#pragma once

#include <deque>

#include "services/collector/delivery.hpp"

namespace fleetward::collector {

class Source {
 public:
  virtual ~Source() = default;
  virtual Status start() = 0;  // own thread
  virtual void wake() = 0;     // the scope stops; own thread
  // Nothing more comes from it; own thread, after the scope's tasks have ended.
  virtual void close() {}
  virtual Delivery& delivery() = 0;
  // Thread-safe.
  [[nodiscard]] virtual Status ready() const = 0;
};

std::shared_ptr<Source> make_mqtt_source(MqttSourceConfig config, Surroundings& around, crypto::Random& random);
std::shared_ptr<Source> make_kafka_source(KafkaSourceConfig config, Surroundings& around);

}  // namespace fleetward::collector
