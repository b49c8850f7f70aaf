#include "services/detector/partition.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "fleet/topics.hpp"
#include "services/detector/records.hpp"

namespace fleetward::detector {
namespace {

constexpr std::size_t batch_records = 2000;
constexpr Millis read_wait{1000};

struct Table {
  std::map<std::string, std::string> states;
  std::size_t bytes = 0;
  bool is_too_large = false;  // more than there is room for: the rest was not read
};

void put(Table& table, bus::Record record) {
  const auto [at, is_new] = table.states.try_emplace(std::move(record.key));
  if (is_new) table.bytes += at->first.size();
  table.bytes -= at->second.size();
  if (!record.value) {
    table.bytes -= at->first.size();
    table.states.erase(at);
    return;
  }
  at->second = std::move(*record.value);
  table.bytes += at->second.size();
}

async::Task<Result<Table>> read_table(bus::Bus& bus, async::Scheduler& scheduler, std::int32_t partition,
                                      std::size_t room_bytes) {
  auto reader = bus.read(scheduler, std::string(fleet::topic::detector_state), {{partition, 0}});
  if (!reader) co_return reader.error();
  Table table;
  while (!(*reader)->caught_up() && !table.is_too_large) {
    Result<std::vector<bus::Record>> some = co_await (*reader)->poll(batch_records, read_wait);
    if (!some) co_return some.error();
    for (bus::Record& record : *some) put(table, std::move(record));
    table.is_too_large = table.bytes > room_bytes;
  }
  co_return table;
}

Result<Restored> build(Table table, std::int32_t partition, std::int64_t start_offset, const detect::Rules& rules,
                       const detect::Snapshots& snapshots, std::size_t room_bytes) {
  constexpr std::size_t devices_between_looks = 256;
  auto engine = std::make_unique<detect::PartitionEngine>(partition, rules, snapshots);
  const std::string own_key = detect::PartitionEngine::partition_key(partition);
  if (const auto own = table.states.find(own_key); own != table.states.end()) {
    if (const Status status = engine->restore_partition(own->second); !status) return status.error();
    table.states.erase(own);
  }
  if (engine->next_offset() != start_offset) {
    return Error(ErrorCode::unavailable, fmt::format("the checkpoint is of offset {}, the group's offset is {}",
                                                     engine->next_offset(), start_offset));
  }
  const std::size_t devices = table.states.size();
  while (!table.states.empty()) {
    const auto state = table.states.extract(table.states.begin());  // what is taken is not held twice
    if (const Status status = engine->restore_device(state.key(), state.mapped()); !status) {
      return status.error().with_context(printable(state.key(), 128));
    }
    const std::size_t taken = engine->device_count();
    if (taken % devices_between_looks != 0 && !table.states.empty()) continue;
    if (engine->state_bytes() > room_bytes) return Restored{nullptr, engine->state_bytes() / taken * devices};
  }
  const std::size_t bytes = engine->state_bytes();
  return Restored{std::move(engine), bytes};
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

async::Task<Result<Restored>> restore(bus::Bus& bus, async::Scheduler& scheduler, std::string group,
                                      std::int32_t partition, std::int64_t start_offset, const detect::Rules& rules,
                                      const detect::Snapshots& snapshots, std::size_t room_bytes) {
  const Result<std::vector<bus::Position>> committed =
      co_await bus.committed(scheduler, group, std::string(fleet::topic::devices));
  if (!committed) co_return committed.error();
  const bool has_commit = std::any_of(committed->begin(), committed->end(),
                                      [&](const bus::Position& p) { return p.partition == partition; });
  Result<Table> table = co_await read_table(bus, scheduler, partition, room_bytes);
  if (!table) co_return table.error();
  // A quarter more, so that a partition of unknown size is not read again and again for a little more room.
  if (table->is_too_large) co_return Restored(nullptr, table->bytes + table->bytes / 4);
  if (!has_commit && table->states.empty()) {  // the first owner ever
    co_return Restored(std::make_unique<detect::PartitionEngine>(partition, rules, snapshots), 0);
  }
  co_return build(std::move(*table), partition, start_offset, rules, snapshots, room_bytes);
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
