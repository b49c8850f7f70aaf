// What stands on the topic `devices` besides reports: cloud-side metrics and what gateways count of them, registry
// facts, and the owner's begins, ticks and marks. One partition is the whole input of its detector (design
// section 5.3).
//
// The kind is in header fw-kind; a report's value is what the device sent, untouched.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/cohort.hpp"
#include "fleet/dimension.hpp"

namespace fleetward::fleet {

enum class RecordKind { report, cloud_metrics, registry, verdict, begin, tick, mark, counting, cohorts };
std::string_view to_string(RecordKind kind);
std::optional<RecordKind> parse_record_kind(std::string_view text);

// Counts since the delta before, of one metric of one device, as a gateway saw them. Sizes in bytes.
struct MetricDelta {
  std::int64_t count = 0;
  double sum = 0;
  double min = 0;
  double max = 0;
  friend bool operator==(const MetricDelta&, const MetricDelta&) = default;
};

// One more, of that size.
void add_to(MetricDelta& delta, double value);

// The part of the counts that was about topics in, or not in, one version of a dimension. What has no topic is in
// neither. Source addresses: from where messages on such topics came.
struct DimensionDelta {
  DimensionVersion dimension;
  bool negated = false;  // operator NOT_IN
  std::map<std::string, MetricDelta> metrics;
  std::vector<std::string> source_addresses;
  friend bool operator==(const DimensionDelta&, const DimensionDelta&) = default;
};
constexpr std::size_t dimension_deltas_max = 64;  // of a record

// One numbered delta record of a gateway for a device. (gateway, start_number, sequence) rises per thing, so a repeat
// is told apart. Metrics that did not move are left out.
struct CloudMetrics {
  std::string gateway;
  std::int64_t start_number = 0;
  std::int64_t sequence = 0;
  bool connected = false;                      // at the end of the span
  std::map<std::string, MetricDelta> metrics;  // by Device Defender name, aws:num-messages-sent, …
  std::vector<std::string> source_addresses;   // aws:source-ip-address: where it connected from in the span
  std::vector<DimensionDelta> dimensions;      // each series that moved; left out when none did
  friend bool operator==(const CloudMetrics&, const CloudMetrics&) = default;
};
json::Value to_json(const CloudMetrics& metrics);
Result<CloudMetrics> cloud_metrics_from_json(const json::Value& value);

// "From here on I count these dimensions, in and not in, for my devices": of a gateway, in every partition. What is not
// among them, or not yet, is unknown and not zero. Of one start the newest manifest is in force, so a repeat changes
// nothing; a gateway that never says it counts none.
struct Counting {
  std::string gateway;
  std::int64_t start_number = 0;
  std::int64_t manifest = 0;                 // that it goes by
  std::vector<DimensionVersion> dimensions;  // by name
  friend bool operator==(const Counting&, const Counting&) = default;
};
json::Value to_json(const Counting& counting);
Result<Counting> counting_from_json(const json::Value& value);

// What the registry says of a thing, from this record on. Groups are flattened: ancestors are among them.
struct RegistryFact {
  std::string thing;
  std::string thing_id;
  std::int64_t version = 0;  // rises with each fact under the name
  bool deleted = false;
  std::string thing_type;
  std::string firmware;
  std::vector<std::string> groups;  // sorted
  friend bool operator==(const RegistryFact&, const RegistryFact&) = default;
};
json::Value to_json(const RegistryFact& fact);
Result<RegistryFact> registry_fact_from_json(const json::Value& value);

// A new owner of the partition starts here. `id` names this ownership in its ticks and marks.
struct Begin {
  std::string id;
  std::string engine_version;
  friend bool operator==(const Begin&, const Begin&) = default;
};
struct Tick {
  std::string begin_id;
  friend bool operator==(const Tick&, const Tick&) = default;
};
// "Manifest N applies from here."
struct Mark {
  std::string begin_id;
  std::int64_t manifest = 0;
  friend bool operator==(const Mark&, const Mark&) = default;
};
// "These snapshots of cohorts apply from here."
struct CohortMark {
  struct Snapshot {
    std::string cohort;
    std::int64_t number = 0;
    friend bool operator==(const Snapshot&, const Snapshot&) = default;
  };
  std::string begin_id;
  std::vector<Snapshot> snapshots;
  friend bool operator==(const CohortMark&, const CohortMark&) = default;
};
// [{cohort, number}]; at most cohorts_max, else a problem of the reader.
json::Value to_json(const std::vector<CohortMark::Snapshot>& snapshots);
std::vector<CohortMark::Snapshot> read_cohort_snapshots(json::Reader& reader, std::string_view key,
                                                        const json::Value& list);
json::Value to_json(const CohortMark& mark);
Result<CohortMark> cohort_mark_from_json(const json::Value& value);
json::Value to_json(const Begin& begin);
json::Value to_json(const Tick& tick);
json::Value to_json(const Mark& mark);
Result<Begin> begin_from_json(const json::Value& value);
Result<Tick> tick_from_json(const json::Value& value);
Result<Mark> mark_from_json(const json::Value& value);

}  // namespace fleetward::fleet
