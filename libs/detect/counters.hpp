// Where each record of a partition ended: exactly one of these (design section 5.4). Part of the checkpoint.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace fleetward::detect {

enum class Outcome : std::uint8_t {
  report_applied,
  report_duplicate,
  report_rejected_payload,  // the parser refused it
  report_rejected_type,     // neither JSON nor text
  report_rejected_thing,    // of a deleted or another thing of the name
  report_dropped_full,      // devices_max
  cloud_applied,
  cloud_duplicate,
  cloud_rejected,
  cloud_dropped_full,  // devices_max or gateways_max
  registry_applied,
  registry_duplicate,
  registry_rejected,
  registry_dropped_full,
  begin_applied,
  begin_rejected,
  tick_applied,
  tick_stale,  // of an owner that is no longer the newest
  tick_rejected,
  mark_applied,
  mark_stale,
  mark_superseded,  // not above the manifest in force
  mark_rejected,
  verdict_dropped,  // nothing learns yet
  unknown_rejected,
  counting_applied,
  counting_duplicate,
  counting_rejected,
  counting_dropped_full,  // gateways_max
  cohorts_applied,
  cohorts_stale,       // of an owner that is no longer the newest
  cohorts_superseded,  // nothing of it is above what applies
  cohorts_rejected,
  count_,
};
constexpr std::size_t outcome_count = static_cast<std::size_t>(Outcome::count_);
std::string_view to_string(Outcome outcome);  // "report_applied", …

struct Counters {
  std::array<std::uint64_t, outcome_count> outcomes{};
  std::uint64_t custom_metric_problems = 0;  // in applied reports
  std::uint64_t other_dimension_counts = 0;  // in applied deltas: of a version that is not in force, so not judged
  std::uint64_t raised = 0;
  std::uint64_t cleared = 0;
  std::uint64_t invalidated = 0;

  std::uint64_t& operator[](Outcome o) { return outcomes[static_cast<std::size_t>(o)]; }
  std::uint64_t operator[](Outcome o) const { return outcomes[static_cast<std::size_t>(o)]; }
  [[nodiscard]] std::uint64_t records() const;
  friend bool operator==(const Counters&, const Counters&) = default;
};

}  // namespace fleetward::detect
