// A partition that this detector owns: its engine, what was read and not yet applied, what is not yet in a checkpoint.
//
// Lives on the detector's scheduler. The queue holds at most what one poll brought: while it waits for rules, the
// partition is paused.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "bus/bus.hpp"
#include "detect/engine.hpp"

namespace fleetward::detector {

struct OwnedPartition {
  enum class Phase { restoring, running };

  OwnedPartition(std::int32_t p, std::int64_t start) : partition(p), start_offset(start), saved_offset(start) {}

  std::int32_t partition;
  std::int64_t start_offset;  // where the group's committed offset says to go on
  std::int64_t saved_offset;  // up to which the last checkpoint goes
  Phase phase = Phase::restoring;
  std::string why_not_ready = "its state has not been read yet";
  std::chrono::nanoseconds restore_at{0};           // restoring: not tried before; steady
  bool waits_for_room = false;                      // restoring: left paused by state_bytes_max
  std::size_t bytes_needed = 0;                     // restoring: by its state, at least; 0: it is not known yet
  bool is_being_read = false;                       // restoring: its state
  std::size_t bytes_read = 0;                       // of it so far
  std::unique_ptr<detect::PartitionEngine> engine;  // running only
  std::deque<bus::Record> queue;
  bool paused = false;
  std::vector<detect::StateChange> unsaved;  // taken from the engine, not committed: a failed try
  std::vector<fleet::CohortSample> unsaved_samples;
  std::string begin_id;                                // of this ownership
  std::int64_t marked = 0;                             // the newest manifest that we have marked
  std::map<std::string, std::int64_t> marked_cohorts;  // the newest snapshots, of cohorts in force
  std::chrono::nanoseconds last_read{0};               // when the last record was applied; steady
  bool gateways_changed = false;                       // a gateway stopped or returned, and no tick has said when
  std::chrono::nanoseconds spoke_at{0};                // when we last said something as owner; steady
};

using Partitions = std::map<std::int32_t, std::shared_ptr<OwnedPartition>>;

// Everything that a checkpoint of the partition holds, into `unit`: states, samples of cohorts, the offset. What was
// taken from the engine stays here until the caller has seen the commit succeed, and says so. How many states there
// are.
std::size_t put_checkpoint(OwnedPartition& owned, bus::UnitOfWork& unit);
void checkpoint_is_durable(OwnedPartition& owned);

// After a checkpoint of so many states the next one waits: what checkpoints cost is at most a tenth of a core however
// many devices change, as long as `at_most` is not reached (so much is read again after a crash).
Millis checkpoint_pause(std::size_t states, Millis at_least, Millis at_most);

}  // namespace fleetward::detector
