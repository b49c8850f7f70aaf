// What the gateway tells detectors of itself on `devices`: cloud-side metrics as deltas, and which dimensions it
// counts.
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/gateway/state.hpp"

namespace fleetward::gateway {

bus::OutRecord Gateway::State::device_record(fleet::RecordKind kind, std::string key, std::string value) const {
  constexpr std::size_t headers_bytes = 384;  // with all that a report has
  bus::OutRecord record{std::string(fleet::topic::devices), std::move(key), std::move(value), {}, std::nullopt};
  record.headers.reserve_more(headers_bytes);
  record.headers.push_back({fleet::header::kind, to_string(kind)});
  record.headers.push_back({fleet::header::received_ms, std::to_string(to_ms(scheduler.now()))});
  record.headers.push_back({fleet::header::source, config.instance});
  return record;
}

// While the bus does not keep up, deltas go on gathering in the counters instead of in its queue.
void Gateway::State::emit_urgent_metrics() {
  if (appender->is_failing() || overloaded()) return;
  cloud.emit_urgent(scheduler.now(), [this](const auto&... delta) { append_cloud_metrics(delta...); });
}

void Gateway::State::emit_due_metrics() {
  if (appender->is_failing() || overloaded()) return;
  cloud.emit_due(scheduler.now(), config.metrics_every,
                 [this](const auto&... delta) { append_cloud_metrics(delta...); });
}

// After each batch of table records; with nothing new it costs a comparison.
void Gateway::State::go_by_rules() {
  if (dimension_rules.refresh()) {
    const auto& plan = dimension_rules.plan();
    cloud.set_dimensions(plan);
    counters.dimensions_left_out.set(plan ? static_cast<double>(plan->left_out.size()) : 0);
    if (plan && !plan->left_out.empty())
      log::warn("dimensions_left_out", {{"first", plan->left_out.front()}, {"count", plan->left_out.size()}});
  }
  say_what_is_counted();
}

// To every partition, since each is the whole input of its detector. Until it is said no traffic is unknown to them.
void Gateway::State::say_what_is_counted() {
  if (!dimension_rules.to_say() || appender->is_failing() || overloaded()) return;
  const std::string text = json::dump(to_json(*dimension_rules.to_say()));
  for (std::int32_t partition = 0; partition < bus.partition_count(fleet::topic::devices); ++partition) {
    bus::OutRecord record = device_record(fleet::RecordKind::counting, "", text);
    record.partition = partition;
    appender->append(std::move(record), {});
  }
  dimension_rules.said();
}

void Gateway::State::append_cloud_metrics(const std::string& thing, const std::string& thing_id,
                                          const fleet::CloudMetrics& delta) {
  bus::OutRecord record = device_record(fleet::RecordKind::cloud_metrics, thing, json::dump(to_json(delta)));
  if (!thing_id.empty()) record.headers.push_back({fleet::header::thing_id, thing_id});
  appender->append(std::move(record), {});
}

}  // namespace fleetward::gateway
