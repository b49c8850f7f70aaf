// A message of a source on its way through the collector, and what becomes of it. Plain values.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/record.hpp"
#include "core/time.hpp"

namespace fleetward::collector {

struct Message {
  std::string topic;
  std::string key;
  std::string payload;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;
  Instant received;
  std::optional<bus::Position> position;   // Kafka
  std::optional<std::uint16_t> packet_id;  // MQTT, QoS 1
  bool dup = false;                        // MQTT: sent again
  std::uint64_t connection = 0;            // MQTT: which brought it

  [[nodiscard]] std::size_t bytes() const { return topic.size() + key.size() + payload.size() + 256; }
};

}  // namespace fleetward::collector
