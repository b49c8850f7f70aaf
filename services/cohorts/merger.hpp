// The samples of cohorts that one partition of topic cohort-samples brings, and the snapshots that come of them.
//
// A pane of a cohort is due when each partition of `devices` has sent that pane or a later one, or a while after its
// first sample came. Of a partition that is late its sample of one of the panes before stands in, and what comes too
// late for its own pane may stand in for the next. A snapshot follows from the samples that it names and from the
// snapshot before it, and from nothing else.
//
// Pure; the role's thread. Holds for each cohort the panes that are not published yet, at most panes_max, and a few
// before; the samples of a cohort of which nothing comes any more are let go.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "fleet/cohort.hpp"

namespace fleetward::cohorts {

class Merger {
 public:
  using Steady = std::chrono::nanoseconds;
  static constexpr std::int64_t stand_in_panes = 2;  // how old a sample may be that stands in
  static constexpr std::size_t panes_max = 32;       // of a cohort; with more the oldest is due
  static constexpr std::size_t cohorts_max = 2'048;  // of further ones samples are refused
  static constexpr std::int64_t silent_panes = 12;   // after so many a cohort's samples are let go
  // Older ones nobody needs: marks name young snapshots alone, and `devices` keeps marks for 14 days.
  static constexpr std::int64_t snapshot_panes_kept = std::int64_t{15} * 24 * 12;

  // `partitions`: of topic devices.
  Merger(std::int32_t partitions, Millis late_after) : partitions_(partitions), late_after_(late_after) {}

  // A snapshot that stands on topic cohorts; by its key when it is gone from there.
  void note(const fleet::CohortSnapshot& snapshot);
  void forget(const std::string& key);

  enum class Taken { kept, repeated, late, refused };
  Taken take(const fleet::CohortSample& sample, std::int64_t offset, Steady now);

  // What is due, by cohort and pane; again until it has been noted.
  [[nodiscard]] std::vector<fleet::CohortSnapshot> due(Steady now) const;
  // Keys of snapshots that may go, at most `keys_max`; again until they are forgotten.
  [[nodiscard]] std::vector<std::string> outdated(std::size_t keys_max) const;
  // From which offset on the partition has to be read to know all that is held; `next` when that is nothing.
  [[nodiscard]] std::int64_t needed_from(std::int64_t next) const;

 private:
  struct Held {
    std::string sketch;
    std::int64_t offset = 0;
  };
  struct Pane {
    std::map<std::int32_t, Held> samples;  // by partition
    Steady first_at{0};
  };
  struct Published {
    std::int64_t number = -1;
    std::int64_t panes = 0;  // in a row, that it says
  };
  struct Cohort {
    std::map<std::int64_t, Pane> panes;
    std::set<std::int64_t> numbers;  // of its snapshots on the topic
    Published newest;                // of these
  };

  [[nodiscard]] bool is_complete(const Cohort& cohort, std::int64_t pane) const;
  static fleet::CohortSnapshot merge(const std::string& name, const Cohort& cohort, std::int64_t pane,
                                     const Published& before);
  void let_go(Cohort& cohort) const;

  std::int32_t partitions_;
  Millis late_after_;
  std::map<std::string, Cohort> cohorts_;
  std::int64_t newest_pane_ = -1;  // of all samples
};

}  // namespace fleetward::cohorts
