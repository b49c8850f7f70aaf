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

// Of the cohorts in force, those whose newest snapshot is not what applies, and has not been said a moment ago.
fleet::CohortMark OwnerVoice::newer_snapshots(OwnedPartition& p, const detect::Snapshots& snapshots, bool may_repeat) {
  fleet::CohortMark mark{p.begin_id, {}};
  std::map<std::string, std::int64_t> marked;
  const detect::CohortBoard& board = p.engine->cohorts();
  for (std::uint16_t i = 0; i < board.names().size(); ++i) {
    const std::string& cohort = board.names()[i];
    const auto newest = snapshots.newest(cohort);
    if (newest == nullptr || newest->number <= board.applied(i)) continue;
    if (detect::is_too_old(newest->number, to_ms(p.engine->clock()) / (detect::pane_seconds * 1000))) continue;
    const auto before = p.marked_cohorts.find(cohort);
    const bool is_said = before != p.marked_cohorts.end() && before->second >= newest->number;
    if (!is_said || may_repeat) mark.snapshots.push_back({cohort, newest->number});
    marked[cohort] = newest->number;
  }
  p.marked_cohorts = std::move(marked);
  return mark;
}

void OwnerVoice::speak(OwnedPartition& p, std::int64_t newest_held, const detect::Snapshots& snapshots) {
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
  if (const fleet::CohortMark mark = newer_snapshots(p, snapshots, may_repeat); !mark.snapshots.empty()) {
    append(fleet::RecordKind::cohorts, p.partition, to_json(mark));
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
