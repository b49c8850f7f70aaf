// What stands at the brokers, for who examines an installation from outside: read, never changed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bus/bus.hpp"
#include "bus/kafka_bus.hpp"

namespace fleetward::bus {

struct KafkaTopicFacts {
  std::int32_t partitions = 0;
  std::int32_t copies = 0;          // of the partition that has the fewest
  std::int32_t not_in_sync = 0;     // partitions of which a copy is missing or behind
  std::int32_t without_leader = 0;  // partitions that take nothing now
  std::map<std::string, std::string, std::less<>> settings;
};

struct KafkaFacts {
  std::int32_t brokers = 0;
  std::map<std::string, KafkaTopicFacts, std::less<>> topics;  // those that were asked for, are there and may be seen
};

// Blocking, within request_limit of the options for each question. The errors are those of open_kafka_bus().
Result<KafkaFacts> look_at_kafka(const KafkaOptions& options, const std::vector<TopicSpec>& topics);

// What a topic needs that it has otherwise, a sentence each: "retention.ms is 1000 and should be at least 2000".
std::vector<std::string> wrong_settings(const TopicSpec& spec, const KafkaTopicFacts& facts);

}  // namespace fleetward::bus
