#include "fleet/device_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 9> kind_names = {"report", "cloud-metrics", "registry", "verdict", "begin",
                                                        "tick",   "mark",          "counting", "cohorts"};
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t metrics_max = 64;  // of a delta

using Metrics = std::map<std::string, MetricDelta>;

json::Value metrics_to_json(const Metrics& metrics) {
  json::Value out = json::Value::object();
  for (const auto& [name, d] : metrics)
    out[name] = {{"count", d.count}, {"sum", d.sum}, {"min", d.min}, {"max", d.max}};
  return out;
}

void read_metrics(json::Reader& r, Metrics& out) {
  const json::Value* metrics = r.required("metrics");
  if (metrics == nullptr || !metrics->is_object() || metrics->size() > metrics_max) return;
  for (const auto& [name, delta] : metrics->items()) {
    json::Reader d(delta, r.path() + ".metrics");
    out[name] = MetricDelta{d.integer("count", 0, any_max), d.number("sum"), d.number("min"), d.number("max")};
    if (const Status status = d.finish(); !status) r.problem("metrics", status.error().message);
  }
}

Result<DimensionDelta> dimension_delta_from_json(const json::Value& value) {
  json::Reader r(value, "cloud-metrics.dimensions");
  DimensionDelta d;
  d.dimension = read_dimension_version(r);
  const std::string op = r.text("operator");
  if (op != "IN" && op != "NOT_IN") r.problem("operator", "is not IN or NOT_IN");
  d.negated = op == "NOT_IN";
  read_metrics(r, d.metrics);
  d.source_addresses = r.texts_or_empty("sourceAddresses", 64, 64);
  if (const Status status = r.finish(); !status) return status.error();
  return d;
}

json::Value to_json(const DimensionDelta& d) {
  json::Value out = to_json(d.dimension);
  out["operator"] = d.negated ? "NOT_IN" : "IN";
  out["metrics"] = metrics_to_json(d.metrics);
  if (!d.source_addresses.empty()) out["sourceAddresses"] = d.source_addresses;
  return out;
}

}  // namespace

std::string_view to_string(RecordKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

std::optional<RecordKind> parse_record_kind(std::string_view text) {
  for (std::size_t i = 0; i < kind_names.size(); ++i) {
    if (kind_names[i] == text) return static_cast<RecordKind>(i);
  }
  return std::nullopt;
}

void add_to(MetricDelta& m, double value) {
  m.min = m.count == 0 ? value : std::min(m.min, value);
  m.max = m.count == 0 ? value : std::max(m.max, value);
  m.sum += value;
  ++m.count;
}

json::Value to_json(const CloudMetrics& m) {
  json::Value out = {
      {"gateway", m.gateway},     {"startNumber", m.start_number},         {"sequence", m.sequence},
      {"connected", m.connected}, {"metrics", metrics_to_json(m.metrics)}, {"sourceAddresses", m.source_addresses}};
  if (m.dimensions.empty()) return out;
  json::Value& dimensions = out["dimensions"] = json::Value::array();
  for (const DimensionDelta& d : m.dimensions) dimensions.push_back(to_json(d));
  return out;
}

Result<CloudMetrics> cloud_metrics_from_json(const json::Value& value) {
  json::Reader r(value, "cloud-metrics");
  CloudMetrics m;
  m.gateway = r.text("gateway", 1, 128);
  m.start_number = r.integer("startNumber", 0, any_max);
  m.sequence = r.integer("sequence", 0, any_max);
  m.connected = r.boolean_or("connected", false);
  m.source_addresses = r.texts_or_empty("sourceAddresses", 64, 64);
  read_metrics(r, m.metrics);
  if (const json::Value* list = r.member("dimensions"); list != nullptr) {
    if (!list->is_array() || list->size() > dimension_deltas_max) {
      r.problem("dimensions", fmt::format("is not a list of at most {}", dimension_deltas_max));
    } else {
      for (const json::Value& item : *list) {
        auto delta = dimension_delta_from_json(item);
        if (!delta) return delta.error();
        m.dimensions.push_back(std::move(*delta));
      }
    }
  }
  if (const Status status = r.finish(); !status) return status.error();
  return m;
}

json::Value to_json(const Counting& c) {
  return {{"gateway", c.gateway},
          {"startNumber", c.start_number},
          {"manifest", c.manifest},
          {"dimensions", to_json(c.dimensions)}};
}

Result<Counting> counting_from_json(const json::Value& value) {
  json::Reader r(value, "counting");
  Counting c;
  c.gateway = r.text("gateway", 1, 128);
  c.start_number = r.integer("startNumber", 0, any_max);
  c.manifest = r.integer("manifest", 0, any_max);
  if (const json::Value* list = r.required("dimensions"); list != nullptr) {
    c.dimensions = read_dimension_versions(r, *list);
  }
  if (const Status status = r.finish(); !status) return status.error();
  return c;
}

json::Value to_json(const RegistryFact& f) {
  return {{"thing", f.thing},          {"thingId", f.thing_id},  {"version", f.version}, {"deleted", f.deleted},
          {"thingType", f.thing_type}, {"firmware", f.firmware}, {"groups", f.groups}};
}

Result<RegistryFact> registry_fact_from_json(const json::Value& value) {
  json::Reader r(value, "registry");
  RegistryFact f;
  f.thing = r.text("thing", 1, 128);
  f.thing_id = r.text("thingId", 1, 64);
  f.version = r.integer("version", 0, any_max);
  f.deleted = r.boolean_or("deleted", false);
  f.thing_type = r.text_or("thingType", "", 128);
  f.firmware = r.text_or("firmware", "", 128);
  f.groups = r.texts_or_empty("groups", 256, 128);
  if (const Status status = r.finish(); !status) return status.error();
  return f;
}

json::Value to_json(const Begin& b) { return {{"id", b.id}, {"engineVersion", b.engine_version}}; }
json::Value to_json(const Tick& t) { return {{"beginId", t.begin_id}}; }
json::Value to_json(const Mark& m) { return {{"beginId", m.begin_id}, {"manifest", m.manifest}}; }

Result<Begin> begin_from_json(const json::Value& value) {
  json::Reader r(value, "begin");
  Begin b{r.text("id", 1, 64), r.text_or("engineVersion", "", 64)};
  if (const Status status = r.finish(); !status) return status.error();
  return b;
}

Result<Tick> tick_from_json(const json::Value& value) {
  json::Reader r(value, "tick");
  Tick t{r.text("beginId", 1, 64)};
  if (const Status status = r.finish(); !status) return status.error();
  return t;
}

Result<Mark> mark_from_json(const json::Value& value) {
  json::Reader r(value, "mark");
  Mark m{r.text("beginId", 1, 64), r.integer("manifest", 0, any_max)};
  if (const Status status = r.finish(); !status) return status.error();
  return m;
}

json::Value to_json(const std::vector<CohortMark::Snapshot>& snapshots) {
  json::Value out = json::Value::array();
  for (const CohortMark::Snapshot& s : snapshots) out.push_back({{"cohort", s.cohort}, {"number", s.number}});
  return out;
}

std::vector<CohortMark::Snapshot> read_cohort_snapshots(json::Reader& reader, std::string_view key,
                                                        const json::Value& list) {
  std::vector<CohortMark::Snapshot> out;
  if (!list.is_array() || list.size() > cohorts_max) {
    reader.problem(key, fmt::format("is not a list of at most {}", cohorts_max));
    return out;
  }
  for (const json::Value& item : list) {
    json::Reader r(item, std::string(key));
    out.push_back({r.text("cohort", 1, cohort_bytes_max), r.integer("number", 0, any_max)});
    if (const Status status = r.finish(); !status) reader.problem(key, status.error().message);
  }
  return out;
}

json::Value to_json(const CohortMark& m) { return {{"beginId", m.begin_id}, {"snapshots", to_json(m.snapshots)}}; }

Result<CohortMark> cohort_mark_from_json(const json::Value& value) {
  json::Reader r(value, "cohorts");
  CohortMark m;
  m.begin_id = r.text("beginId", 1, 64);
  if (const json::Value* list = r.required("snapshots"); list != nullptr) {
    m.snapshots = read_cohort_snapshots(r, "snapshots", *list);
  }
  if (const Status status = r.finish(); !status) return status.error();
  return m;
}

}  // namespace fleetward::fleet
