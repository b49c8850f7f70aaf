// Judges the datapoints of one device under its program: streaks, alarms, and the violations that come of them.
//
// Made for one record and one device, on the engine's thread; holds nothing of its own.
#pragma once

#include <functional>

#include "detect/cohort_board.hpp"
#include "detect/device_state.hpp"
#include "fleet/device_records.hpp"
#include "fleet/violation.hpp"
#include "report/report.hpp"

namespace fleetward::detect {

// After a report for which nobody vouches, so long what the device's reports say may come of it: longer than any
// window.
constexpr Millis claimed_counts_for{24 * 3'600'000};

// Where and when: what every violation of a record has in common.
struct Moment {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  Instant time;      // of the datapoint
  Instant received;  // of the record
  std::int64_t observed_seconds = 0;
  std::int64_t pane = 0;
  std::int64_t manifest = 0;
};

// A dimension that the device's gateway counts, and in which pane it began to: before that its counts are not whole.
struct CountedSince {
  fleet::DimensionVersion dimension;
  std::int64_t pane = 0;
  friend bool operator==(const CountedSince&, const CountedSince&) = default;
};

class Judge {
 public:
  Judge(Device& device, const Moment& moment, CohortBoard& cohorts, std::vector<fleet::ViolationEvent>& out)
      : device_(device), program_(*device.program), moment_(moment), cohorts_(cohorts), out_(out) {}

  void report(const report::Report& report);
  void cloud(const fleet::CloudMetrics& metrics);
  // The open pane is over. `covered`: a gateway saw the device, so that no traffic is zero and not unknown.
  // `outage_pane_last`: windows that begin at or before it are not judged for lack of traffic. `counted`: by the
  // device's gateway; of other dimensions no traffic is unknown.
  void close_pane(bool covered, std::int64_t outage_pane_last, const std::vector<CountedSince>& counted);
  void minutes_away(std::int64_t minutes);
  // Ends the alarm (an index into Device::alarms) without a datapoint.
  void invalidate(std::size_t alarm, std::string_view reason);

 private:
  using Seen = fleet::MetricValue;
  // One datapoint of a behavior. `seen` is asked only if an event comes of it, with whether it broke the rule.
  template <class SeenFunction>
  void datapoint(std::size_t index, bool conform, SeenFunction seen, bool clear_at_once = false);
  void number(std::size_t index, double value, bool conform);
  // A number that holds when it is told: against what the behavior is compared with, if there is such a thing yet.
  void told(std::size_t index, double value);
  // None: there is no snapshot to judge by, so nothing is judged.
  [[nodiscard]] std::optional<double> threshold_of(const CompiledBehavior& behavior) const;
  void keep_for_vote(const CompiledBehavior& behavior, double value);
  void close_ring(const Ring& ring, std::int64_t outage_pane_last, std::int64_t since);
  void vote(std::int64_t outage_pane_last, const std::vector<CountedSince>& counted);
  void add_to_ring(const Ring& ring, double value);
  void message_sizes(std::size_t index, const std::map<std::string, fleet::MetricDelta>& metrics);
  void addresses_of(std::size_t index, const std::vector<std::string>& texts);
  void custom(const report::Report& report, const report::CustomMetricValue& value);
  void ports(std::size_t index, const std::vector<std::uint16_t>& ports);
  template <class AddressAt>
  void addresses(std::size_t index, std::size_t count, AddressAt at, bool empty_clears);
  [[nodiscard]] std::string expected_of(const CompiledBehavior& behavior) const;
  fleet::ViolationEvent event(fleet::ViolationEventType type, const Alarm& alarm) const;

  Device& device_;
  const Program& program_;
  const Moment& moment_;
  CohortBoard& cohorts_;
  std::vector<fleet::ViolationEvent>& out_;
};

// The id of a violation: the same for the same cause, whoever finds it. The time is the log's; it tells apart the
// records of logs that followed each other, which count from 0 each.
std::string violation_id(const Device& device, const CompiledBehavior& behavior, std::int32_t partition,
                         const Alarm& alarm);

}  // namespace fleetward::detect
