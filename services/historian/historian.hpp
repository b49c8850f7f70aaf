// The historian role: keeps violations, and dead letters, in the store, where people look them up.
//
// Reads topic violations in a consumer group; a batch is one transaction, and its offsets are committed after it, so
// each event is recorded once however often it is read. Events older than the repository keeps are removed hour by
// hour.
//
// Lives on its scheduler; start() and stop() are called from another thread, ready() from any. A batch that the store
// does not take is tried again until it does: nothing is skipped but what cannot be read, which is counted and goes to
// the dead letters.
#pragma once

#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::historian {

struct HistorianSettings {
  std::string group = "historian";
  std::string member = "historian-1";
  std::size_t records_per_batch = 500;
  Millis linger{20};  // before a batch is written: the same violations are being decided on, and that goes first
  Millis prune_every{3'600'000};
};

class Historian {
 public:
  // All of them outlive the historian.
  Historian(HistorianSettings settings, bus::Bus& bus, store::Store& store, async::Scheduler& scheduler,
            metrics::Registry& metrics);
  ~Historian();
  Historian(const Historian&) = delete;
  Historian& operator=(const Historian&) = delete;

  Status start();
  void stop(Millis limit);
  [[nodiscard]] Status ready() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::historian
