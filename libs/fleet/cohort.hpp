// Cohorts: the devices that a statistical behavior compares with each other. What detectors say of theirs (topic
// cohort-samples), what comes of it (topic cohorts), and how both stand in JSON.
//
// A cohort is the devices that a profile covers, seen through one metric over one span. Pure.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "json/json.hpp"

namespace fleetward::fleet {

constexpr std::size_t cohort_bytes_max = 512;            // of a cohort's name
constexpr std::size_t cohorts_max = 256;                 // of a manifest; behaviors of further ones are not evaluated
constexpr std::size_t cohort_sketch_bytes_max = 32'768;  // encoded

// One partition's part of a cohort in one pane: the values of its devices, one each, as an encoded sketch. Said again
// it replaces what was said before.
struct CohortSample {
  std::string cohort;
  std::int32_t partition = 0;
  std::int64_t pane = 0;
  std::string sketch;  // bytes; libs/detect/sketch.hpp
  friend bool operator==(const CohortSample&, const CohortSample&) = default;
};

// What a criterion may compare with. In the order of CohortSnapshot::statistics.
inline constexpr std::array<std::string_view, 12> statistic_names = {
    "p0", "p0.01", "p0.1", "p1", "p10", "p50", "p90", "p99", "p99.9", "p99.99", "p100", "Average"};

// The statistics of a cohort in one pane, immutable. Its number is the pane: it rises.
struct CohortSnapshot {
  struct Range {  // the value is in it
    double low = 0;
    double high = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };
  struct Source {
    std::int32_t partition = 0;
    std::int64_t pane = 0;  // that of the snapshot, or a little older for a partition that was late
    friend bool operator==(const Source&, const Source&) = default;
  };
  std::string cohort;
  std::int64_t number = 0;
  std::int64_t devices = 0;
  std::int64_t panes = 0;                                  // in a row, this one included, that had devices enough
  double relative_error = 0;                               // of each statistic
  std::vector<Source> sources;                             // by partition
  std::array<Range, statistic_names.size()> statistics{};  // of no devices: all 0
  friend bool operator==(const CohortSnapshot&, const CohortSnapshot&) = default;
};

json::Value to_json(const CohortSample& sample);
json::Value to_json(const CohortSnapshot& snapshot);
Result<CohortSample> cohort_sample_from_json(const json::Value& value);
Result<CohortSnapshot> cohort_snapshot_from_json(const json::Value& value);

std::string cohort_snapshot_key(std::string_view cohort, std::int64_t number);  // COHORT@N

}  // namespace fleetward::fleet
