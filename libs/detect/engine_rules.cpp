// What the registry and the owner of the partition say to an engine: facts, begins and ticks, and which rules and
// snapshots of cohorts apply from where.
#include <algorithm>

#include "detect/engine.hpp"
#include "detect/read_record.hpp"
#include "fleet/cloud_event.hpp"

namespace fleetward::detect {
namespace {

bool applies(const fleet::Target& target, const Facts& facts) {
  switch (target.kind) {
    case fleet::Target::Kind::all_things:
      return true;
    case fleet::Target::Kind::registered_things:
      return facts.registered;
    case fleet::Target::Kind::unregistered_things:
      return !facts.registered;
    case fleet::Target::Kind::thing_group:
      return std::binary_search(facts.groups.begin(), facts.groups.end(), target.group);
  }
  return false;
}

}  // namespace

bool PartitionEngine::can_apply(const InputRecord& record) const {
  if (record.kind == fleet::to_string(fleet::RecordKind::mark)) {
    const auto mark = read<fleet::Mark>(record.value, fleet::mark_from_json);
    if (!mark || mark->begin_id != begin_id_ || mark->manifest <= manifest_) return true;  // changes nothing
    return rules_.holds(mark->manifest);
  }
  if (record.kind == fleet::to_string(fleet::RecordKind::cohorts)) {
    const auto mark = read<fleet::CohortMark>(record.value, fleet::cohort_mark_from_json);
    if (!mark || mark->begin_id != begin_id_) return true;
    return std::all_of(mark->snapshots.begin(), mark->snapshots.end(), [this](const auto& named) {
      return !is_to_apply(named) || snapshots_.find(named.cohort, named.number) != nullptr;
    });
  }
  return true;
}

Outcome PartitionEngine::apply_registry(const InputRecord& record, Context& context) {
  const auto event = fleet::parse_cloud_event(record.value);
  if (!event) return Outcome::registry_rejected;
  auto fact = fleet::registry_fact_from_json(event->data);
  if (!fact || fact->thing != record.key || !fleet::is_valid_name(record.key)) return Outcome::registry_rejected;
  Device* device = find_or_add(record.key);
  if (device == nullptr) return Outcome::registry_dropped_full;
  if (fact->version <= device->version) return Outcome::registry_duplicate;
  if (fact->deleted) {
    reset_for_thing(*device, "the thing was deleted", context);
  } else if (fact->thing_id != device->thing_id || device->deleted) {
    reset_for_thing(*device, "the thing was registered", context);
  }
  Facts facts;
  if (!fact->deleted) {
    facts = Facts{true, fact->thing_type, fact->firmware, std::move(fact->groups)};
    std::sort(facts.groups.begin(), facts.groups.end());
  }
  device->version = fact->version;
  device->thing_id = fact->thing_id;
  device->deleted = fact->deleted;
  device->facts = intern(std::move(facts));
  move_to(*device, program_for(device->facts), context);
  moves_.clear();
  touch(*device);
  return Outcome::registry_applied;
}

// What was learned of one thing is not the next one's.
void PartitionEngine::reset_for_thing(Device& device, std::string_view reason, Context& context) {
  Judge judge = this->judge(device, context);
  while (!device.alarms.empty()) judge.invalidate(device.alarms.size() - 1, reason);
  std::fill(device.state.begin(), device.state.end(), 0);
  device.reports.fill(0);
  device.claimed_ms = never;
}

Outcome PartitionEngine::apply_begin(const InputRecord& record) {
  auto begin = read<fleet::Begin>(record.value, fleet::begin_from_json);
  if (!begin) return Outcome::begin_rejected;
  begin_id_ = std::move(begin->id);
  return Outcome::begin_applied;
}

Outcome PartitionEngine::apply_tick(const InputRecord& record) {
  const auto tick = read<fleet::Tick>(record.value, fleet::tick_from_json);
  if (!tick) return Outcome::tick_rejected;
  return tick->begin_id == begin_id_ ? Outcome::tick_applied : Outcome::tick_stale;
}

Outcome PartitionEngine::apply_mark(const InputRecord& record, Context& context) {
  const auto mark = read<fleet::Mark>(record.value, fleet::mark_from_json);
  if (!mark) return Outcome::mark_rejected;
  if (mark->begin_id != begin_id_) return Outcome::mark_stale;
  if (mark->manifest <= manifest_) return Outcome::mark_superseded;
  go_by_manifest(mark->manifest);
  context.moment.manifest = manifest_;
  std::erase_if(facts_, [](const auto& entry) { return entry.second.expired(); });
  for (Device& device : devices_) {
    if (!device.name.empty()) move_to(device, program_for(device.facts), context);
  }
  moves_.clear();
  return Outcome::mark_applied;
}

void PartitionEngine::go_by_manifest(std::int64_t number) {
  manifest_ = number;
  customs_ = report::CustomMetricTable(rules_.manifest(manifest_)->custom_metrics);
  cohorts_.set_cohorts(cohorts_in_force(rules_, manifest_));
  programs_.clear();
  program_of_.clear();
}

// Old ones judge nothing any more; they may be gone.
bool PartitionEngine::is_to_apply(const fleet::CohortMark::Snapshot& named) const {
  return cohorts_.is_news(named) && !is_too_old(named.number, pane_);
}

Outcome PartitionEngine::apply_cohorts(const InputRecord& record) {
  const auto mark = read<fleet::CohortMark>(record.value, fleet::cohort_mark_from_json);
  if (!mark) return Outcome::cohorts_rejected;
  if (mark->begin_id != begin_id_) return Outcome::cohorts_stale;
  Outcome outcome = Outcome::cohorts_superseded;
  for (const fleet::CohortMark::Snapshot& named : mark->snapshots) {
    if (!is_to_apply(named)) continue;
    cohorts_.apply(*cohorts_.find(named.cohort), snapshots_.find(named.cohort, named.number));
    outcome = Outcome::cohorts_applied;
  }
  return outcome;
}

std::shared_ptr<const Program> PartitionEngine::program_for(const std::shared_ptr<const Facts>& facts) {
  std::shared_ptr<const Program>& known = program_of_[facts];
  if (known) return known;
  const fleet::Manifest& manifest = *rules_.manifest(manifest_);
  std::vector<std::size_t> entries;
  for (std::size_t i = 0; i < manifest.profiles.size(); ++i) {
    const auto& targets = manifest.profiles[i].targets;
    if (std::any_of(targets.begin(), targets.end(), [&](const auto& t) { return applies(t, *facts); })) {
      entries.push_back(i);
    }
  }
  std::shared_ptr<const Program>& program = programs_[entries];
  if (!program) {
    std::vector<std::shared_ptr<const fleet::SecurityProfile>> profiles;
    for (const std::size_t i : entries) {
      profiles.push_back(rules_.profile(manifest.profiles[i].profile, manifest.profiles[i].version));
    }
    program = compile(profiles, customs_, manifest.dimensions, cohorts_.names());
  }
  known = program;
  return program;
}

std::shared_ptr<const Facts> PartitionEngine::intern(Facts facts) {
  std::weak_ptr<const Facts>& slot = facts_[facts];
  if (auto known = slot.lock()) return known;
  auto made = std::make_shared<const Facts>(std::move(facts));
  slot = made;
  return made;
}

std::size_t PartitionEngine::behaviors_not_evaluated() const {
  std::size_t count = 0;
  for (const auto& [entries, program] : programs_) count += program->not_evaluated;
  return count;
}

}  // namespace fleetward::detect
