#include "services/detector/partition.hpp"

#include "fleet/topics.hpp"
#include "services/detector/records.hpp"

namespace fleetward::detector {
namespace {

// What a failed try held is older: a device that changed again is said once, by its newest state.
std::vector<detect::StateChange> newest_of(std::vector<detect::StateChange> unsaved,
                                           std::vector<detect::StateChange> changes) {
  std::map<std::string, std::optional<std::string>> newest;
  for (auto* list : {&unsaved, &changes}) {
    for (detect::StateChange& change : *list) newest[std::move(change.key)] = std::move(change.value);
  }
  std::vector<detect::StateChange> out;
  out.reserve(newest.size());
  for (auto& [key, value] : newest) out.push_back({key, std::move(value)});
  return out;
}

}  // namespace

std::size_t put_checkpoint(OwnedPartition& owned, bus::UnitOfWork& unit) {
  std::vector<detect::StateChange> changes = owned.engine->take_changes();
  if (!owned.unsaved.empty()) changes = newest_of(std::move(owned.unsaved), std::move(changes));
  owned.unsaved = std::move(changes);
  const std::string topic(fleet::topic::detector_state);
  for (const detect::StateChange& change : owned.unsaved) {
    unit.append({topic, change.key, change.value, {}, owned.partition});
  }
  for (fleet::CohortSample& sample : owned.engine->take_samples()) owned.unsaved_samples.push_back(std::move(sample));
  for (const fleet::CohortSample& sample : owned.unsaved_samples) unit.append(sample_record(sample));
  unit.append({topic,
               detect::PartitionEngine::partition_key(owned.partition),
               owned.engine->partition_record(),
               {},
               owned.partition});
  unit.set_offset(owned.partition, owned.engine->next_offset());
  return owned.unsaved.size();
}

Millis checkpoint_pause(std::size_t states, Millis at_least, Millis at_most) {
  // Ten times what it takes to encode a state, to have it written and to clean up after it: some 8 µs of CPU time.
  constexpr std::chrono::microseconds pause_per_state{80};
  const auto wanted = std::chrono::duration_cast<Millis>(static_cast<std::int64_t>(states) * pause_per_state);
  return std::max(at_least, std::min(wanted, at_most));
}

void checkpoint_is_durable(OwnedPartition& owned) {
  owned.unsaved.clear();
  owned.unsaved_samples.clear();
}

}  // namespace fleetward::detector
