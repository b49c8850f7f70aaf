// Cohorts of a detector: which ones the rules need, and the snapshots of them that it holds.
//
// A cohort is the devices that a profile covers, compared by one metric, or by the part of it that one version of a
// dimension narrows it to, over one span. Pure. Snapshots is filled from topic `cohorts` (or from a copied bus file,
// for a replay) and read by engines of the same thread. It grows with the snapshots that the topic keeps.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "detect/rules.hpp"
#include "fleet/cohort.hpp"

namespace fleetward::detect {

constexpr std::int64_t judging_devices_min = 10;  // fewer say too little of what is usual
constexpr std::int64_t judging_panes_min = 2;  // in a row with devices enough: one may be of a fleet that only starts
constexpr std::int64_t judging_panes_age_max = 12;  // an hour; then it says nothing of now

// PROFILE/METRIC/SECONDS, then /max or /min for message sizes (of a device's messages in a pane, which one counts),
// then /IN/DIMENSION@V or /NOT_IN/DIMENSION@V. None when the behavior is not statistical or cannot be evaluated, with
// `dimension_version` 0 for a dimension that there is not.
std::optional<std::string> cohort_of(const std::string& profile, const fleet::Behavior& behavior,
                                     std::int64_t dimension_version);

// The cohorts that a manifest's behaviors need, sorted, the first cohorts_max. The manifest is held whole.
std::vector<std::string> cohorts_in_force(const Rules& rules, std::int64_t manifest);

class Snapshots {
 public:
  using Snapshot = std::shared_ptr<const fleet::CohortSnapshot>;

  // A record of topic `cohorts`; without a value it is gone.
  Status add(std::string_view key, const std::optional<std::string>& value);

  // nullptr when it is not held.
  [[nodiscard]] Snapshot find(const std::string& cohort, std::int64_t number) const;
  [[nodiscard]] Snapshot newest(const std::string& cohort) const;

 private:
  std::map<std::string, std::map<std::int64_t, Snapshot>, std::less<>> cohorts_;
};

// Whether a snapshot judges nothing in the pane and after it: nobody marks it any more, and its record may be gone.
bool is_too_old(std::int64_t number, std::int64_t pane);
// Whether a snapshot is of devices and panes enough, and young enough in `pane`, to judge by.
bool may_judge(const fleet::CohortSnapshot& snapshot, std::int64_t pane);

}  // namespace fleetward::detect
