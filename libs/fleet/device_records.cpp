#include "fleet/device_records.hpp"

#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 7> kind_names = {"report", "cloud-metrics", "registry", "verdict",
                                                        "begin",  "tick",          "mark"};
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();

}  // namespace

std::string_view to_string(RecordKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

std::optional<RecordKind> parse_record_kind(std::string_view text) {
  for (std::size_t i = 0; i < kind_names.size(); ++i) {
    if (kind_names[i] == text) return static_cast<RecordKind>(i);
  }
  return std::nullopt;
}

json::Value to_json(const CloudMetrics& m) {
  json::Value metrics = json::Value::object();
  for (const auto& [name, d] : m.metrics)
    metrics[name] = {{"count", d.count}, {"sum", d.sum}, {"min", d.min}, {"max", d.max}};
  return {{"gateway", m.gateway},     {"startNumber", m.start_number}, {"sequence", m.sequence},
          {"connected", m.connected}, {"metrics", std::move(metrics)}, {"sourceAddresses", m.source_addresses}};
}

Result<CloudMetrics> cloud_metrics_from_json(const json::Value& value) {
  json::Reader r(value, "cloud-metrics");
  CloudMetrics m;
  m.gateway = r.text("gateway", 1, 128);
  m.start_number = r.integer("startNumber", 0, any_max);
  m.sequence = r.integer("sequence", 0, any_max);
  m.connected = r.boolean_or("connected", false);
  m.source_addresses = r.texts_or_empty("sourceAddresses", 64, 64);
  if (const json::Value* metrics = r.required("metrics");
      metrics != nullptr && metrics->is_object() && metrics->size() <= 64) {
    for (const auto& [name, delta] : metrics->items()) {
      json::Reader d(delta, "cloud-metrics.metrics");
      m.metrics[name] = MetricDelta{d.integer("count", 0, any_max), d.number("sum"), d.number("min"), d.number("max")};
      if (const Status status = d.finish(); !status) return status.error();
    }
  }
  if (const Status status = r.finish(); !status) return status.error();
  return m;
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

}  // namespace fleetward::fleet
