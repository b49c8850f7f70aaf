// The cohorts of one engine under its manifest: which snapshot of each applies, and what the devices of the partition
// add to it in the pane that is being closed.
//
// Belongs to one engine. Holds at most fleet::cohorts_max cohorts, and the samples of panes that closed since they were
// last taken: whoever applies records takes them before samples_max wait.
#pragma once

#include "detect/cohorts.hpp"
#include "detect/sketch.hpp"
#include "fleet/device_records.hpp"

namespace fleetward::detect {

class CohortBoard {
 public:
  static constexpr std::size_t samples_max = 4'096;

  // Of a new manifest. What stays keeps its snapshot.
  void set_cohorts(const std::vector<std::string>& names);
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }  // sorted

  // The snapshot that applies, if it may judge in the pane; else nullptr.
  [[nodiscard]] const fleet::CohortSnapshot* judging(std::uint16_t cohort, std::int64_t pane) const;
  void apply(std::uint16_t cohort, Snapshots::Snapshot snapshot);
  // Whether naming this snapshot changes what applies: it is of a cohort in force, and newer.
  [[nodiscard]] bool is_news(const fleet::CohortMark::Snapshot& named) const;
  [[nodiscard]] std::int64_t applied(std::uint16_t cohort) const;  // -1: none
  [[nodiscard]] std::vector<fleet::CohortMark::Snapshot> applied() const;
  [[nodiscard]] std::optional<std::uint16_t> find(const std::string& name) const;

  // A device's one value.
  void vote(std::uint16_t cohort, double value) { cohorts_[cohort].votes.add(value); }
  // All devices have voted: a sample of each cohort, of no devices too, so that nobody waits for it.
  void close_pane(std::int32_t partition, std::int64_t pane);
  [[nodiscard]] bool is_full() const { return samples_.size() >= samples_max; }
  std::vector<fleet::CohortSample> take_samples() { return std::exchange(samples_, {}); }

 private:
  struct Cohort {
    Snapshots::Snapshot snapshot;
    Sketch votes;
  };
  std::vector<std::string> names_;
  std::vector<Cohort> cohorts_;
  std::vector<fleet::CohortSample> samples_;
};

}  // namespace fleetward::detect
