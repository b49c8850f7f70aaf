#include "fleet/cohort.hpp"

#include <fmt/format.h>

#include "core/text.hpp"

namespace fleetward::fleet {
namespace {

constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();
constexpr std::int32_t partitions_max = 100'000;
constexpr std::int64_t count_max = std::int64_t{1} << 53;

CohortSnapshot::Range read_range(const json::Value& value, json::Reader& parent, std::string_view name) {
  json::Reader r(value, std::string(name));
  const CohortSnapshot::Range out{r.number("low"), r.number("high")};
  if (out.low > out.high) r.problem("low", "is above high");
  if (const Status status = r.finish(); !status) parent.problem(name, status.error().message);
  return out;
}

std::vector<CohortSnapshot::Source> read_sources(const json::Value& list, json::Reader& parent) {
  std::vector<CohortSnapshot::Source> out;
  if (!list.is_array() || list.size() > static_cast<std::size_t>(partitions_max)) {
    parent.problem("sources", fmt::format("is not a list of at most {}", partitions_max));
    return out;
  }
  for (const json::Value& item : list) {
    json::Reader r(item, "sources");
    out.push_back(
        {static_cast<std::int32_t>(r.integer("partition", 0, partitions_max)), r.integer("pane", 0, any_max)});
    if (const Status status = r.finish(); !status) parent.problem("sources", status.error().message);
  }
  return out;
}

}  // namespace

json::Value to_json(const CohortSample& s) {
  return {
      {"cohort", s.cohort}, {"partition", s.partition}, {"pane", s.pane}, {"sketch", to_base64(as_bytes(s.sketch))}};
}

Result<CohortSample> cohort_sample_from_json(const json::Value& value) {
  json::Reader r(value, "cohort sample");
  CohortSample s;
  s.cohort = r.text("cohort", 1, cohort_bytes_max);
  s.partition = static_cast<std::int32_t>(r.integer("partition", 0, partitions_max));
  s.pane = r.integer("pane", 0, any_max);
  const auto sketch = from_base64(r.text("sketch", 1, cohort_sketch_bytes_max * 4 / 3 + 4));
  if (sketch) s.sketch = as_text(*sketch);
  else r.problem("sketch", sketch.error().message);
  if (const Status status = r.finish(); !status) return status.error();
  return s;
}

json::Value to_json(const CohortSnapshot& s) {
  json::Value sources = json::Value::array();
  for (const CohortSnapshot::Source& source : s.sources) {
    sources.push_back({{"partition", source.partition}, {"pane", source.pane}});
  }
  json::Value statistics = json::Value::object();
  for (std::size_t i = 0; i < s.statistics.size(); ++i) {
    statistics[std::string(statistic_names[i])] = {{"low", s.statistics[i].low}, {"high", s.statistics[i].high}};
  }
  return {{"cohort", s.cohort},
          {"number", s.number},
          {"devices", s.devices},
          {"panes", s.panes},
          {"relativeError", s.relative_error},
          {"sources", std::move(sources)},
          {"statistics", std::move(statistics)}};
}

Result<CohortSnapshot> cohort_snapshot_from_json(const json::Value& value) {
  json::Reader r(value, "cohort snapshot");
  CohortSnapshot s;
  s.cohort = r.text("cohort", 1, cohort_bytes_max);
  s.number = r.integer("number", 0, any_max);
  s.devices = r.integer("devices", 0, count_max);
  s.panes = r.integer("panes", 0, any_max);
  s.relative_error = r.number("relativeError");
  if (const json::Value* list = r.required("sources"); list != nullptr) s.sources = read_sources(*list, r);
  if (const json::Value* all = r.required("statistics"); all != nullptr) {
    json::Reader inner(*all, "statistics");
    for (std::size_t i = 0; i < s.statistics.size(); ++i) {
      const json::Value* one = inner.required(statistic_names[i]);
      if (one != nullptr) s.statistics[i] = read_range(*one, inner, statistic_names[i]);
    }
    if (const Status status = inner.finish(); !status) r.problem("statistics", status.error().message);
  }
  if (const Status status = r.finish(); !status) return status.error();
  return s;
}

std::string cohort_snapshot_key(std::string_view cohort, std::int64_t number) {
  return fmt::format("{}@{}", cohort, number);
}

}  // namespace fleetward::fleet
