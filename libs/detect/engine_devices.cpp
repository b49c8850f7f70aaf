// The devices of an engine: their slots, their move to other rules, and the checkpoint.
#include <algorithm>

#include "detect/engine.hpp"

namespace fleetward::detect {
namespace {

constexpr std::int64_t record_version = 1;
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();

std::vector<int> places(const Program& from, const Program& to) {
  std::map<std::pair<std::string_view, std::string_view>, int> by_name;
  for (std::size_t i = 0; i < to.behaviors.size(); ++i) {
    const CompiledBehavior& b = to.behaviors[i];
    if (b.evaluated) by_name[{b.profile->name, b.source->name}] = static_cast<int>(i);
  }
  std::vector<int> out;
  for (const CompiledBehavior& b : from.behaviors) {
    const auto at = by_name.find({b.profile->name, b.source->name});
    const bool stays =
        at != by_name.end() && b.evaluated && is_same_rule(b, to.behaviors[static_cast<std::size_t>(at->second)]);
    out.push_back(stays ? at->second : -1);
  }
  return out;
}

json::Value gateway_to_json(const std::string& name, std::int64_t start_number, std::int64_t counting_manifest,
                            const std::vector<CountedSince>& counts) {
  json::Value out = {{"name", name}, {"startNumber", start_number}};
  if (counting_manifest < 0) return out;
  out["countingManifest"] = counting_manifest;
  json::Value& list = out["counts"] = json::Value::array();
  for (const CountedSince& c : counts) {
    list.push_back(fleet::to_json(c.dimension));
    list.back()["sincePane"] = c.pane;
  }
  return out;
}

std::vector<CountedSince> read_counts(const json::Value& list, json::Reader& parent) {
  std::vector<CountedSince> out;
  if (!list.is_array()) parent.problem("counts", "is not a list");
  for (const json::Value& item : list) {
    json::Reader r(item, "counts");
    out.push_back({fleet::read_dimension_version(r), r.integer("sincePane", 0, any_max)});
    if (const Status status = r.finish(); !status) parent.problem("counts", status.error().message);
  }
  return out;
}

// Why an alarm of `b` ends under `to`, in which its rule is not.
std::string_view reason_of_end(const CompiledBehavior& b, const Program& to) {
  bool profile_applies = false;
  for (const CompiledBehavior& other : to.behaviors) {
    if (other.profile->name != b.profile->name) continue;
    profile_applies = true;
    if (other.source->name != b.source->name) continue;
    return *other.source == *b.source ? "the dimension of the behavior was changed" : "the behavior was changed";
  }
  return profile_applies ? "the behavior was deleted" : "the profile no longer applies to the thing";
}

}  // namespace

Device* PartitionEngine::find(std::string_view name) {
  const auto at = index_.find(name);
  return at == index_.end() ? nullptr : at->second;
}

Device* PartitionEngine::find_or_add(std::string_view name) {
  if (Device* known = find(name)) return known;
  if (index_.size() >= devices_max) return nullptr;
  Device& device = add(name);
  device.facts = intern({});
  device.program = program_for(device.facts);
  device.state.assign(device.program->state_words, 0);
  device.last_seen_ms = observed_ms();
  return &device;
}

// A slot in which nothing but the name is set.
Device& PartitionEngine::add(std::string_view name) {
  if (free_.empty()) free_.push_back(&devices_.emplace_back());
  Device& device = *free_.back();
  free_.pop_back();
  device.name = name;
  index_.emplace(device.name, &device);
  return device;
}

void PartitionEngine::forget(Device& device) {
  forgotten_.push_back(device.name);
  index_.erase(device.name);
  device = Device{};  // not dirty any more: its place in dirty_ is passed over
  free_.push_back(&device);
}

void PartitionEngine::touch(Device& device) {
  if (device.dirty) return;
  device.dirty = true;
  dirty_.push_back(&device);
}

void PartitionEngine::move_to(Device& device, std::shared_ptr<const Program> program, Context& context) {
  if (device.program == program) return;
  if (device.program->fingerprint == program->fingerprint && device.state.size() == program->state_words) {
    device.program = std::move(program);
    return;
  }
  std::vector<int>& moves = moves_[{device.program.get(), program.get()}];
  if (moves.empty()) moves = places(*device.program, *program);
  Judge judge = this->judge(device, context);
  for (std::size_t i = device.alarms.size(); i-- > 0;) {
    const std::size_t old = device.alarms[i].behavior;
    if (moves[old] < 0) judge.invalidate(i, reason_of_end(device.program->behaviors[old], *program));
  }
  std::vector<std::uint64_t> state(program->state_words, 0);
  for (std::size_t i = 0; i < moves.size(); ++i) {
    if (moves[i] >= 0) state[static_cast<std::size_t>(moves[i])] = device.state[i];
  }
  for (Alarm& alarm : device.alarms) alarm.behavior = static_cast<std::uint16_t>(moves[alarm.behavior]);
  for (const Ring& ring : program->rings) {
    for (const Ring& old : device.program->rings) {
      if (old.metric == ring.metric && old.scope == ring.scope)
        RingView(ring, state).copy_from(RingView(old, device.state), pane_);
    }
  }
  device.state = std::move(state);
  device.program = std::move(program);
  touch(device);
}

std::size_t PartitionEngine::state_bytes() const {
  // Blocks are of the programs' sizes, so the largest is a fair guess without a walk over all devices. Slots stay when
  // a device is forgotten.
  std::size_t words = restored_words_;
  for (const auto& [entries, program] : programs_) words = std::max(words, program->state_words);
  return devices_.size() * sizeof(Device) + index_.size() * (words * 8 + 64);
}

std::vector<StateChange> PartitionEngine::take_changes() {
  std::vector<StateChange> out;
  out.reserve(dirty_.size() + forgotten_.size());
  for (std::string& name : forgotten_) {
    if (!index_.contains(name)) out.push_back({std::move(name), std::nullopt});
  }
  forgotten_.clear();
  for (Device* device : dirty_) {
    if (!device->dirty) continue;
    device->dirty = false;
    out.push_back({device->name, encode(*device)});
  }
  dirty_.clear();
  return out;
}

std::string PartitionEngine::partition_record() const {
  json::Value outcomes = json::Value::object();
  for (std::size_t i = 0; i < outcome_count; ++i) {
    if (counters_.outcomes[i] > 0) outcomes[std::string(to_string(static_cast<Outcome>(i)))] = counters_.outcomes[i];
  }
  json::Value gateways = json::Value::array();
  for (const Gateway& g : gateways_)
    gateways.push_back(gateway_to_json(g.name, g.start_number, g.counting_manifest, g.counts));
  return json::dump({{"recordVersion", record_version},
                     {"engineVersion", engine_version},
                     {"nextOffset", next_offset_},
                     {"clock", clock_ms_},
                     {"outage", outage_ms_},
                     {"pane", pane_},
                     {"outagePaneLast", outage_pane_last_},
                     {"beginId", begin_id_},
                     {"manifest", manifest_},
                     {"outcomes", std::move(outcomes)},
                     {"customMetricProblems", counters_.custom_metric_problems},
                     {"otherDimensionCounts", counters_.other_dimension_counts},
                     {"raised", counters_.raised},
                     {"cleared", counters_.cleared},
                     {"invalidated", counters_.invalidated},
                     {"cohorts", fleet::to_json(cohorts_.applied())},
                     {"gateways", std::move(gateways)}});
}

Status PartitionEngine::restore_partition(std::string_view record) {
  const auto value = json::parse(record);
  if (!value) return Error(ErrorCode::corrupted, "partition record: " + value.error().message);
  json::Reader r(*value, "partition record");
  if (const std::int64_t version = r.integer("recordVersion", 1, any_max); version > record_version) {
    return Error(ErrorCode::unsupported, fmt::format("partition record has version {}, this program knows {}: run the "
                                                     "fleetward that wrote it, or a newer one",
                                                     version, record_version));
  }
  const std::int64_t manifest = r.integer("manifest", 0, any_max);
  const auto count = [&r](std::string_view key) {
    return static_cast<std::uint64_t>(r.integer_or(key, 0, 0, any_max));
  };
  Counters counters;
  counters.custom_metric_problems = count("customMetricProblems");
  counters.other_dimension_counts = count("otherDimensionCounts");
  counters.raised = count("raised");
  counters.cleared = count("cleared");
  counters.invalidated = count("invalidated");
  if (const json::Value* outcomes = r.required("outcomes"); outcomes != nullptr && outcomes->is_object()) {
    json::Reader inner(*outcomes, "outcomes");
    for (std::size_t i = 0; i < outcome_count; ++i) {
      counters.outcomes[i] =
          static_cast<std::uint64_t>(inner.integer_or(to_string(static_cast<Outcome>(i)), 0, 0, any_max));
    }
    if (const Status status = inner.finish(); !status) r.problem("outcomes", status.error().message);
  }
  std::vector<Gateway> gateways;
  if (const json::Value* list = r.required("gateways"); list != nullptr && list->is_array()) {
    for (const json::Value& item : *list) {
      json::Reader g(item, "gateways");
      Gateway gateway{g.text("name", 1, 128), g.integer("startNumber", 0, any_max)};
      gateway.counting_manifest = g.integer_or("countingManifest", -1, -1, any_max);
      if (const json::Value* counts = g.member("counts"); counts != nullptr) gateway.counts = read_counts(*counts, g);
      gateways.push_back(std::move(gateway));
      if (const Status status = g.finish(); !status) r.problem("gateways", status.error().message);
    }
  }
  const std::int64_t next_offset = r.integer("nextOffset", 0, any_max);
  const std::int64_t clock = r.integer("clock", 0, any_max);
  const std::int64_t outage = r.integer("outage", 0, any_max);
  const std::int64_t pane = r.integer("pane", 0, any_max);
  const std::int64_t outage_pane_last = r.integer("outagePaneLast", -1, any_max);
  std::string begin_id = r.text("beginId", 0, 64);
  std::vector<fleet::CohortMark::Snapshot> applied;
  if (const json::Value* list = r.member("cohorts"); list != nullptr) {
    applied = fleet::read_cohort_snapshots(r, "cohorts", *list);
  }
  if (const Status status = r.finish(); !status) return Error(ErrorCode::corrupted, status.error().message);
  if (!rules_.holds(manifest)) {
    return Error(ErrorCode::failed_precondition, fmt::format("manifest {} is not here yet", manifest));
  }
  for (const fleet::CohortMark::Snapshot& s : applied) {
    if (snapshots_.find(s.cohort, s.number) == nullptr && !is_too_old(s.number, pane)) {
      return Error(ErrorCode::failed_precondition,
                   fmt::format("snapshot {} of cohort {} is not here yet", s.number, s.cohort));
    }
  }
  next_offset_ = next_offset;
  clock_ms_ = clock;
  outage_ms_ = outage;
  pane_ = pane;
  outage_pane_last_ = outage_pane_last;
  begin_id_ = std::move(begin_id);
  counters_ = counters;
  gateways_ = std::move(gateways);
  go_by_manifest(manifest);
  for (const fleet::CohortMark::Snapshot& s : applied) {
    const auto cohort = cohorts_.find(s.cohort);
    if (cohort) cohorts_.apply(*cohort, snapshots_.find(s.cohort, s.number));
  }
  return complete_devices();
}

Status PartitionEngine::restore_device(std::string_view key, std::optional<std::string_view> value) {
  Device* slot = find(key);
  if (!value) {
    if (slot == nullptr) return {};
    index_.erase(slot->name);
    *slot = Device{};
    free_.push_back(slot);
    return {};
  }
  if (!fleet::is_valid_name(key)) return Error(ErrorCode::corrupted, "device checkpoint has no thing's name");
  Device device;
  const auto facts = decode(*value, device);
  if (!facts) return facts.error();
  if (slot == nullptr && index_.size() >= devices_max) {
    return Error(ErrorCode::resource_exhausted, "more devices than a partition may have");
  }
  if (slot == nullptr) slot = &add(key);
  device.facts = restored_facts(*facts);
  device.name = std::move(slot->name);  // the index points into it: the text must not move
  restored_words_ = std::max(restored_words_, device.state.size() - 1);
  *slot = std::move(device);
  return {};
}

const std::shared_ptr<const Facts>& PartitionEngine::restored_facts(const FactsBytes& facts) {
  std::string key(facts.bytes);
  key.push_back(facts.registered ? '1' : '0');
  std::shared_ptr<const Facts>& known = restored_facts_[std::move(key)];
  if (!known) known = intern(decode_facts(facts));
  return known;
}

Status PartitionEngine::complete_devices() {
  for (Device& device : devices_) {
    if (device.name.empty()) continue;
    if (const Status status = complete(device); !status) return status.error().with_context(device.name);
  }
  restored_facts_.clear();
  restored_words_ = 0;
  return {};
}

Status PartitionEngine::complete(Device& device) {
  const auto is_known = [&](std::size_t gateway) { return gateway < gateways_.size(); };
  const bool is_seen = device.connected || device.cloud_in_pane;
  if ((is_seen && !is_known(device.gateway)) || !std::all_of(device.gateways.begin(), device.gateways.end(),
                                                             [&](const auto& g) { return is_known(g.gateway); })) {
    return Error(ErrorCode::corrupted, "device checkpoint names a gateway that the partition does not know");
  }
  device.program = program_for(device.facts);
  return take_fingerprint(device);
}

}  // namespace fleetward::detect
