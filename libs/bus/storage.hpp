// Where a local bus keeps its records: one writer's transactions, and reads that never wait for them.
//
// write() is called by the bus's writer alone; read(), range() and committed() also by its reader thread. An
// implementation says how it keeps the two apart.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "bus/record.hpp"
#include "core/result.hpp"

namespace fleetward::bus {

struct OffsetCommit {
  std::string group;
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t next_offset = 0;
};

struct PlacedRecord {
  const OutRecord* record = nullptr;
  std::int32_t partition = 0;
  std::int64_t offset = 0;  // set by write()
};

struct PartitionBounds {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

class Storage {
 public:
  virtual ~Storage() = default;

  virtual Status ensure_topic(const TopicSpec& spec) = 0;
  virtual Result<std::vector<TopicSpec>> topics() = 0;
  // All records and offsets in one transaction that is durable when this returns good; nothing of it otherwise.
  virtual Status write(std::span<PlacedRecord> records, std::span<const OffsetCommit> offsets, Instant now) = 0;
  // Records from `from` on, at most `records_max` and (after the first) `bytes_max` bytes.
  virtual Result<std::vector<Record>> read(const std::string& topic, std::int32_t partition, std::int64_t from,
                                           std::size_t records_max, std::size_t bytes_max) = 0;
  virtual Result<PartitionBounds> bounds(const std::string& topic, std::int32_t partition) = 0;
  virtual Result<std::optional<std::int64_t>> committed(const std::string& group, const std::string& topic,
                                                        std::int32_t partition) = 0;
  // A bounded step of retention and compaction (records of a table younger than `keep` stay). Rows removed.
  virtual Result<std::int64_t> clean(const TopicSpec& spec, Instant now, Millis keep, std::size_t rows_max) = 0;
};

}  // namespace fleetward::bus
