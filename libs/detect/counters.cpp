#include "detect/counters.hpp"

#include <numeric>

namespace fleetward::detect {
namespace {

constexpr std::array<std::string_view, outcome_count> names = {
    "report_applied",       "report_duplicate",      "report_rejected_payload",
    "report_rejected_type", "report_rejected_thing", "report_dropped_full",
    "cloud_applied",        "cloud_duplicate",       "cloud_rejected",
    "cloud_dropped_full",   "registry_applied",      "registry_duplicate",
    "registry_rejected",    "registry_dropped_full", "begin_applied",
    "begin_rejected",       "tick_applied",          "tick_stale",
    "tick_rejected",        "mark_applied",          "mark_stale",
    "mark_superseded",      "mark_rejected",         "verdict_dropped",
    "unknown_rejected",     "counting_applied",      "counting_duplicate",
    "counting_rejected",    "counting_dropped_full", "cohorts_applied",
    "cohorts_stale",        "cohorts_superseded",    "cohorts_rejected"};
static_assert(!names.back().empty());

}  // namespace

std::string_view to_string(Outcome outcome) { return names[static_cast<std::size_t>(outcome)]; }

std::uint64_t Counters::records() const { return std::accumulate(outcomes.begin(), outcomes.end(), std::uint64_t{0}); }

}  // namespace fleetward::detect
