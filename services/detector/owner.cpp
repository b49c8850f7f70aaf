#include "services/detector/owner.hpp"

#include "services/detector/records.hpp"

namespace fleetward::detector {

OwnerVoice::OwnerVoice(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : bus_(bus),
      scheduler_(scheduler),
      failures_(metrics.counter("fleetward_detector_owner_appends_failed_total",
                                "Begins, marks and ticks that could not be appended; they come again")) {}

void OwnerVoice::append(fleet::RecordKind kind, std::int32_t partition, const json::Value& value) {
  std::vector<bus::OutRecord> records;
  records.push_back(owner_record(kind, partition, value, scheduler_.now()));
  bus_.append(std::move(records), [&failures = failures_](const Result<std::vector<bus::Position>>& done) {
    if (!done) failures.add();
  });
}

void OwnerVoice::speak(OwnedPartition& p, std::int64_t newest_held) {
  const auto now = scheduler_.steady_now();
  const bool may_repeat = now - p.spoke_at >= detect::tick_interval;
  if (p.engine->begin_id() != p.begin_id) {
    if (!may_repeat) return;
    append(fleet::RecordKind::begin, p.partition,
           to_json(fleet::Begin{p.begin_id, std::string(detect::engine_version)}));
    p.spoke_at = now;
    return;
  }
  if (newest_held > p.engine->manifest() && (newest_held > p.marked || may_repeat)) {
    append(fleet::RecordKind::mark, p.partition, to_json(fleet::Mark{p.begin_id, newest_held}));
    p.marked = newest_held;
    p.spoke_at = now;
    return;
  }
  const bool is_silent = may_repeat && now - p.last_read >= detect::tick_interval;
  if (p.queue.empty() && (is_silent || p.gateways_changed)) {
    append(fleet::RecordKind::tick, p.partition, to_json(fleet::Tick{p.begin_id}));
    p.gateways_changed = false;
    p.spoke_at = now;
  }
}

}  // namespace fleetward::detector
