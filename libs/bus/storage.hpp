// Where a local bus keeps its records: one writer's transactions, and reads that never wait for them.
//
// write() and clean() are called by the bus's writer alone; ensure_topic(), topics(), read(), bounds() and committed()
// by any thread. An implementation says how it keeps them apart.
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

struct CleanStep {
  std::int64_t removed = 0;
  bool more = false;  // another step may find something
};

class Storage {
 public:
  virtual ~Storage() = default;

  virtual Status ensure_topic(const TopicSpec& spec) = 0;
  virtual Result<std::vector<TopicSpec>> topics() = 0;
  // All records and offsets in one transaction that is durable when this returns good; nothing of it otherwise.
  virtual Status write(std::span<PlacedRecord> records, std::span<const OffsetCommit> offsets, Instant now) = 0;
  // Records from `from` on, at most `records_max` and (after the first) `bytes_max` bytes. One that is damaged is left
  // out, told and counted: what is whole is served.
  virtual Result<std::vector<Record>> read(const std::string& topic, std::int32_t partition, std::int64_t from,
                                           std::size_t records_max, std::size_t bytes_max) = 0;
  virtual Result<PartitionBounds> bounds(const std::string& topic, std::int32_t partition) = 0;
  virtual Result<std::optional<std::int64_t>> committed(const std::string& group, const std::string& topic,
                                                        std::int32_t partition) = 0;
  // How many records were passed over by read(), because they are not what was written. Thread-safe.
  [[nodiscard]] virtual std::uint64_t damaged_records() const { return 0; }
  // A step of retention or compaction that looks at no more than `rows_max` rows. Of a log the oldest records go, as
  // far as they are all past the topic's retention; of a table (records younger than `keep` stay) what a newer record
  // of its key replaces, and a tombstone once nothing older of its key is left that could come back. On the writer.
  virtual Result<CleanStep> clean(const TopicSpec& spec, std::int32_t partition, Instant now, Millis keep,
                                  std::size_t rows_max) = 0;
};

}  // namespace fleetward::bus
