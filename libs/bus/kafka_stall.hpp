// Watches a consumer for the stall that librdkafka knows: nothing comes though there is more to read.
//
// The client marks the end of a partition each time that it has read to it. Without that mark, what is there and does
// not come is a stall. With it, what is above may be of a transaction that is open still, which says nothing: then it
// is a stall only when more and more comes and none is read.
//
// Lives on the consumer's scheduler. Pure but for the scheduler's clock.
#pragma once

#include <algorithm>
#include <map>

#include "async/scheduler.hpp"

namespace fleetward::bus::kafka {

class StallWatch {
 public:
  static constexpr Millis ask_every{5'000};
  static constexpr Millis limit{30'000};  // without progress for so long while there is more

  explicit StallWatch(const async::Scheduler& scheduler) : scheduler_(scheduler), asked_at_(scheduler.steady_now()) {}

  void note_progress(std::int32_t partition, std::int64_t next_offset) {
    partitions_[partition] = {next_offset, -1, scheduler_.steady_now(), false};
  }
  // Nothing below `offset` is still to come.
  void note_end(std::int32_t partition, std::int64_t offset) {
    const auto found = partitions_.find(partition);
    if (found == partitions_.end()) return;
    found->second = {std::max(found->second.next_offset, offset), -1, scheduler_.steady_now(), true};
  }
  // It was paused, or there was nobody to ask: what did not come until now does not count.
  void begin_anew(std::int32_t partition) {
    const auto found = partitions_.find(partition);
    if (found == partitions_.end()) return;
    found->second.first_end = -1;
    found->second.since = scheduler_.steady_now();
  }
  void forget(std::int32_t partition) { partitions_.erase(partition); }

  // Whether the ends should be looked up now; asks for it every so often.
  bool is_due() {
    const auto now = scheduler_.steady_now();
    if (now - asked_at_ < ask_every) return false;
    asked_at_ = now;
    return true;
  }

  // `end`: where the partition ends now.
  bool is_stalled(std::int32_t partition, std::int64_t end) {
    const auto found = partitions_.find(partition);
    if (found == partitions_.end()) return false;
    State& state = found->second;
    if (end <= state.next_offset) {
      begin_anew(partition);  // it has read all
      return false;
    }
    if (state.first_end < 0) state.first_end = end;
    const bool should_have_come = !state.is_at_end || end > state.first_end;
    return should_have_come && scheduler_.steady_now() - state.since >= limit;
  }

 private:
  struct State {
    std::int64_t next_offset = 0;
    std::int64_t first_end = -1;  // the first that was seen since the last progress; -1: none yet
    std::chrono::nanoseconds since{0};
    bool is_at_end = false;  // the client has said so since the last record
  };

  const async::Scheduler& scheduler_;
  std::chrono::nanoseconds asked_at_;
  std::map<std::int32_t, State> partitions_;
};

}  // namespace fleetward::bus::kafka
