// The cohorts role: merges the samples that detectors publish of their devices into snapshots of whole cohorts.
//
// It owns partitions of topic cohort-samples, so of some cohorts each. A snapshot and the offset from which its samples
// are read again are one fenced unit: nobody who only believes to own a partition can write one. It keeps nothing: what
// is published it reads from topic cohorts when it gets a partition, the rest is read again.
//
// Lives on its scheduler; start() and stop() are called from another thread, ready() from any. Limits: Merger.
#pragma once

#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::cohorts {

struct CohortsSettings {
  std::string group = "cohorts";
  std::string member = "cohorts-1";
  std::size_t records_per_poll = 500;
  Millis late_after{60'000};  // how long a pane waits for partitions that have not sent theirs
  Millis session_timeout{10'000};
};

class Cohorts {
 public:
  // All of them outlive it.
  Cohorts(CohortsSettings settings, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics);
  ~Cohorts();
  Cohorts(const Cohorts&) = delete;
  Cohorts& operator=(const Cohorts&) = delete;

  Status start();
  void stop(Millis limit);
  [[nodiscard]] Status ready() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::cohorts
