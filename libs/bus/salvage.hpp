// What is whole of a damaged bus file, written anew into another one.
//
// Every page of the file and of its write-ahead log is looked at for itself; a record is taken over when its sum says
// that it is one, at the offset it had. Next offsets go on past everything that may have been acknowledged, so that no
// offset comes again for another record. Committed offsets are taken over where they can be read; a group without one
// begins at the log's start, and its effects are once by their ids. Blocking; nobody may have the damaged file open.
#pragma once

#include <string>
#include <vector>

#include "bus/record.hpp"
#include "core/result.hpp"

namespace fleetward::bus {

struct SalvageOptions {
  std::vector<TopicSpec> topics;  // where the file does not say which it has
  // State that is worth nothing with a hole in it, and that its group makes again out of the log: not taken over.
  std::string state_topic;
  std::string state_group;
};

struct SalvagedPartition {
  std::string topic;
  std::int32_t partition = 0;
  std::int64_t kept = 0;
  std::int64_t lost = 0;  // of a log; how many of a table were lost cannot be told from those compaction took away
  std::vector<std::pair<std::int64_t, std::int64_t>> holes;  // first and last offset; the first holes_max of them
};
constexpr std::size_t holes_max = 20;

struct Salvage {
  std::vector<SalvagedPartition> partitions;  // those with anything kept or lost
  std::int64_t kept = 0;
  std::int64_t lost = 0;
  std::int64_t acknowledged_past_end = 0;  // by the mark, beyond all that the file says it had
};

// Why the file is not whole, page by page and record by record; good when it is. corrupted: it is damaged. unsupported:
// it is of another version, and nothing is known of it. While it is being written its end and its write-ahead log move,
// and only records are looked at.
Status examine_log(const std::string& path, bool is_being_written = false);

// From a file that is damaged to one that is not there yet.
Result<Salvage> salvage_log(const std::string& from, const std::string& to, const SalvageOptions& options);

}  // namespace fleetward::bus
