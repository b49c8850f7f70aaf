// What passes over the bus: records with a key, a value (none: a tombstone), headers and a place in a partition.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/headers.hpp"
#include "core/time.hpp"

namespace fleetward::bus {

// A record to be written. Without `partition` it goes where its key's murmur2 hash says (partition_of).
struct OutRecord {
  std::string topic;
  std::string key;
  std::optional<std::string> value;  // none: tombstone
  Headers headers;
  std::optional<std::int32_t> partition;
};

// Records that are written together, in order. Shared with who may have to write them again.
using Batch = std::shared_ptr<const std::vector<OutRecord>>;

struct Position {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

struct Record {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  Instant append_time;  // the log's own clock when it took the record
  std::string key;
  std::optional<std::string> value;
  Headers headers;
};

enum class TopicKind {
  log,    // kept for a time
  table,  // compacted: the newest record of each key is kept
};

struct TopicSpec {
  std::string name;
  std::int32_t partitions = 1;
  TopicKind kind = TopicKind::log;
  Millis retention{0};  // log: how long at least; 0: for ever
};

// Kafka's default partitioner for a key (murmur2_random): the same partition that Java producers choose.
std::int32_t partition_of(std::string_view key, std::int32_t partitions);

}  // namespace fleetward::bus
