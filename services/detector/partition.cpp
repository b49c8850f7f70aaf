#include "services/detector/partition.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "services/detector/records.hpp"

namespace fleetward::detector {
namespace {

constexpr std::size_t batch_records = 2000;
constexpr Millis read_wait{1000};

using Table = std::map<std::string, std::string>;

async::Task<Result<Table>> read_table(bus::Bus& bus, async::Scheduler& scheduler, std::int32_t partition) {
  auto reader = bus.read(scheduler, std::string(fleet::topic::detector_state), {{partition, 0}});
  if (!reader) co_return reader.error();
  Table table;
  while (!(*reader)->caught_up()) {
    Result<std::vector<bus::Record>> some = co_await (*reader)->poll(batch_records, read_wait);
    if (!some) co_return some.error();
    for (bus::Record& record : *some) {
      if (record.value) table.insert_or_assign(std::move(record.key), std::move(*record.value));
      else table.erase(record.key);
    }
  }
  co_return table;
}

Result<std::unique_ptr<detect::PartitionEngine>> build(const Table& table, std::int32_t partition,
                                                       std::int64_t start_offset, const detect::Rules& rules,
                                                       const detect::Snapshots& snapshots) {
  auto engine = std::make_unique<detect::PartitionEngine>(partition, rules, snapshots);
  const std::string own_key = detect::PartitionEngine::partition_key(partition);
  if (const auto own = table.find(own_key); own != table.end()) {
    if (const Status status = engine->restore_partition(own->second); !status) return status.error();
  }
  if (engine->next_offset() != start_offset) {
    return Error(ErrorCode::unavailable, fmt::format("the checkpoint is of offset {}, the group's offset is {}",
                                                     engine->next_offset(), start_offset));
  }
  for (const auto& [key, value] : table) {
    if (key == own_key) continue;
    if (const Status status = engine->restore_device(key, value); !status) {
      return status.error().with_context(printable(key, 128));
    }
  }
  return engine;
}

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

async::Task<Result<std::unique_ptr<detect::PartitionEngine>>> restore(bus::Bus& bus, async::Scheduler& scheduler,
                                                                      std::string group, std::int32_t partition,
                                                                      std::int64_t start_offset,
                                                                      const detect::Rules& rules,
                                                                      const detect::Snapshots& snapshots) {
  const Result<std::vector<bus::Position>> committed =
      co_await bus.committed(scheduler, group, std::string(fleet::topic::devices));
  if (!committed) co_return committed.error();
  const bool has_commit = std::any_of(committed->begin(), committed->end(),
                                      [&](const bus::Position& p) { return p.partition == partition; });
  Result<Table> table = co_await read_table(bus, scheduler, partition);
  if (!table) co_return table.error();
  if (!has_commit && table->empty()) {  // the first owner ever
    co_return std::make_unique<detect::PartitionEngine>(partition, rules, snapshots);
  }
  co_return build(*table, partition, start_offset, rules, snapshots);
}

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
