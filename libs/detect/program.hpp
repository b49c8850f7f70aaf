// Profiles compiled into a flat program: what is judged when, against which constants, and where its state lies.
//
// Devices to which the same profile versions apply share one program. A report runs straight through it: the steps are
// arrays of indexes, metrics are numbers, custom metrics are found by their place in the table. Immutable once
// compiled.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "detect/metric.hpp"
#include "detect/rules.hpp"
#include "report/report.hpp"

namespace fleetward::detect {

constexpr std::size_t behaviors_per_program_max = 10'000;  // the rest is counted as not evaluated

// The part of a metric that a behavior looks at: messages on topics in, or not in, one version of a dimension; no name:
// the whole metric.
struct Scope {
  fleet::DimensionVersion dimension{{}, 0};
  bool negated = false;
  [[nodiscard]] bool is_whole() const { return dimension.dimension.empty(); }
  friend bool operator==(const Scope&, const Scope&) = default;
};

// A behavior with its constants. What its metric is says which of the sets is in use.
struct CompiledBehavior {
  std::shared_ptr<const fleet::SecurityProfile> profile;
  const fleet::Behavior* source = nullptr;  // in `profile`
  Metric metric = Metric::custom;
  Scope scope;
  MetricKind kind = MetricKind::state;
  fleet::ComparisonOperator op = fleet::ComparisonOperator::less_than;
  std::uint8_t datapoints_to_alarm = 1;
  std::uint8_t datapoints_to_clear = 1;
  std::uint8_t panes = 1;       // summed: over how many the sum goes
  std::uint16_t ring = 0;       // summed: index into Program::rings
  bool evaluated = false;       // what is not only has its place
  bool statistical = false;     // compared with a statistic of a cohort instead of `threshold`
  std::uint8_t statistic = 0;   // index into fleet::statistic_names
  std::uint16_t cohort = 0;     // index into the cohorts in force
  std::uint16_t vote_word = 0;  // statistical and not summed: where the pane's value stands in the state
  bool negated = false;         // not-in-…-set
  double threshold = 0;
  std::vector<std::uint16_t> ports;  // sorted
  std::vector<double> numbers;       // sorted
  std::vector<std::string> strings;  // sorted
  report::CidrSet cidrs;
};

// The last panes of a summed metric, or of a part of it, in a device's state: one word of bookkeeping, then one double
// a pane.
struct Ring {
  Metric metric = Metric::all_bytes_out;
  Scope scope;
  std::uint8_t panes = 1;
  std::uint16_t word = 0;  // where it begins in the state
  std::vector<std::uint16_t> behaviors;
};

// What a device adds to a cohort when a pane closes: once, however many behaviors compare with it.
struct Vote {
  std::uint16_t cohort = 0;
  bool is_summed = false;
  std::uint16_t ring = 0;  // summed: over so many panes of the ring
  std::uint8_t panes = 1;
  std::uint16_t word = 0;  // else: a word of state, 0 while the pane has no value
};

struct Program {
  std::vector<CompiledBehavior> behaviors;  // by profile, then as written
  std::vector<Ring> rings;
  std::vector<std::uint16_t> on_report;               // device side, judged as reports arrive (not summed, not custom)
  std::vector<std::uint16_t> on_cloud;                // message size and source address
  std::vector<std::uint16_t> on_pane;                 // disconnect-duration
  std::vector<std::vector<std::uint16_t>> on_custom;  // by custom metric
  std::vector<std::uint16_t> report_rings, cloud_rings;
  std::vector<Vote> votes;
  std::size_t state_words = 0;    // a word a behavior, then the rings, then the votes
  std::size_t not_evaluated = 0;  // ML, of a custom metric or dimension that is gone, of a cohort too many
  std::uint64_t fingerprint = 0;  // of the profile versions: state of another program does not fit
};

// The part of a manifest that applies to one kind of device. `dimensions` and `cohorts` (sorted) are the manifest's.
std::shared_ptr<const Program> compile(const std::vector<std::shared_ptr<const fleet::SecurityProfile>>& profiles,
                                       const report::CustomMetricTable& customs,
                                       const std::vector<fleet::DimensionVersion>& dimensions = {},
                                       const std::vector<std::string>& cohorts = {});

// Whether state and alarm of the one go on under the other: same metric, dimension (by version) and criteria.
bool is_same_rule(const CompiledBehavior& a, const CompiledBehavior& b);

// A stable 64-bit hash for fingerprints and duplicates: the same on every machine and in every version. Not for
// anything that an attacker gains by a collision.
std::uint64_t stable_hash(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace fleetward::detect
