// Reads a table topic whole and goes on following it: how a role keeps a table in memory.
//
// A record whose version (a header, decimal) is not above the newest seen of its key is skipped: relays repeat. Records
// without the header are always handed on. One that is not accepted is passed over as if it were not there: its version
// counts for nothing. Lives on its scheduler; callbacks run there. A failed read is retried after
// a pause; `failed` hears of it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <unordered_map>

#include "bus/bus.hpp"

namespace fleetward::bus {

class TableFollower {
 public:
  struct Callbacks {
    std::function<void(const Record&)> record;  // newer than what was seen of its key
    std::function<void()> caught_up;            // once: all that was there at the start has been handed on
    std::function<void(const Error&)> failed;   // may be empty
    std::function<void()> batch_end;            // after each batch; may be empty
    std::function<bool(const Record&)> accept;  // asked of every record first; may be empty
  };

  TableFollower(Bus& bus, async::Scheduler& scheduler, std::string topic, std::string version_header,
                Callbacks callbacks);

  // The following itself: spawn it in a scope; ends when the scope stops (wake() cuts a wait short).
  async::Task<void> run(async::Scope& scope);
  void wake();  // own thread only
  // Records that were not accepted once more: by now they may be. Own thread only.
  void offer(const std::vector<Record>& records);

  [[nodiscard]] bool caught_up() const { return caught_up_; }
  // Everything below has been handed on, by partition.
  [[nodiscard]] const std::map<std::int32_t, std::int64_t>& next_offsets() const { return next_; }

 private:
  void hand_on(const Record& record);

  Bus& bus_;
  async::Scheduler& scheduler_;
  std::string topic_;
  std::string version_header_;
  Callbacks callbacks_;
  std::unique_ptr<Reader> reader_;
  bool caught_up_ = false;
  std::map<std::int32_t, std::int64_t> next_;
  std::unordered_map<std::string, std::int64_t> versions_;
};

}  // namespace fleetward::bus
