#include "bus/local_core.hpp"

#include <set>

#include "core/fault.hpp"
#include "log/log.hpp"

namespace fleetward::bus {
namespace {

std::size_t size_of(const OutRecord& r) {
  const std::size_t bytes = r.key.size() + (r.value ? r.value->size() : 0);
  return bytes + r.headers.encoded().size();
}

}  // namespace

void LocalCore::enqueue(WriteRequest request) {
  bool start = false;
  {
    const std::lock_guard lock(mutex);
    if (queued_bytes > 0 && queued_bytes + request.bytes > options.queue_bytes_max) {
      throttled.add();
      const AppendCallback done = std::move(request.done);
      reader.post(
          [done] { done(Error(ErrorCode::throttled, "the bus has too much waiting to be written; retry later")); });
      return;
    }
    queued_bytes += request.bytes;
    queue.push_back(std::move(request));
    start = !std::exchange(draining, true);
  }
  if (start) writer.post([self = shared_from_this()] { self->drain(); });
}

void LocalCore::drain() {
  std::vector<WriteRequest> batch;
  {
    const std::lock_guard lock(mutex);
    batch.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.end()));
    queue.clear();
    queued_bytes = 0;
    if (batch.empty()) {
      draining = false;
      return;
    }
  }
  commit(batch);
  writer.post([self = shared_from_this()] { self->drain(); });
}

bool LocalCore::may_commit(const WriteRequest& request) {
  if (request.member == 0 || fault::is_armed("bus.skip_fencing")) return true;
  const std::lock_guard lock(mutex);
  for (std::size_t i = 0; i < request.offsets.size(); ++i) {
    const OffsetCommit& o = request.offsets[i];
    const auto group = groups.find(GroupKey(o.group, o.topic));
    if (group == groups.end() || !group->second.owns(request.member, {o.partition, request.epochs[i]})) return false;
  }
  return !request.offsets.empty();
}

void LocalCore::commit(std::vector<WriteRequest>& batch) {
  std::vector<PlacedRecord> placed;
  std::vector<OffsetCommit> offsets;
  std::vector<std::optional<std::size_t>> first(batch.size());
  std::size_t records_in_all = 0;
  for (const WriteRequest& request : batch) records_in_all += request.records->size();
  placed.reserve(records_in_all);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (!may_commit(batch[i])) continue;
    first[i] = placed.size();
    for (const OutRecord& r : *batch[i].records) {
      const std::int32_t count = partition_count(r.topic);
      placed.push_back({&r, r.partition.value_or(partition_of(r.key, count)), 0});
    }
    offsets.insert(offsets.end(), batch[i].offsets.begin(), batch[i].offsets.end());
  }
  const Status written = placed.empty() && offsets.empty() ? Status() : storage->write(placed, offsets, writer.now());
  (written.ok() ? commits : failed).add();
  note_write(written);
  if (written.ok()) {
    records.add(placed.size());
    wake_readers(placed);
  } else {
    log::error("bus_write_failed", {{"error", written.error().message}, {"records", placed.size()}});
  }
  for (std::size_t i = 0; i < batch.size(); ++i) answer(batch[i], first[i], placed, written);
}

void LocalCore::answer(const WriteRequest& request, std::optional<std::size_t> first,
                       const std::vector<PlacedRecord>& placed, const Status& written) {
  if (!first) {
    fenced.add();
    request.done(Error(ErrorCode::fenced, "a newer owner has the partition"));
  } else if (!written) {
    request.done(written.error());
  } else {
    std::vector<Position> positions;
    positions.reserve(request.records->size());
    for (std::size_t k = 0; k < request.records->size(); ++k) {
      positions.push_back({placed[*first + k].partition, placed[*first + k].offset});
    }
    request.done(std::move(positions));
  }
}

void LocalCore::note_write(const Status& written) {
  const std::lock_guard lock(health_mutex);
  if (!written || !last_write) last_write = written;
}

void LocalCore::note_read(const Status& read) {
  const std::uint64_t left_out = storage->damaged_records();
  const bool is_damage = !read && read.error().code == ErrorCode::corrupted;
  if (!is_damage && left_out == damaged_before) return;
  const std::lock_guard lock(health_mutex);
  damaged.add(left_out - std::exchange(damaged_before, left_out));
  if (is_damage) damage = read;
}

Status LocalCore::health() const {
  const std::lock_guard lock(health_mutex);
  return damage ? last_write : damage;
}

std::int32_t LocalCore::partition_count(std::string_view topic) const {
  const std::lock_guard lock(topics_mutex);
  const auto found = topics.find(topic);
  return found == topics.end() ? 0 : found->second.partitions;
}

Status LocalCore::check(const std::vector<OutRecord>& out, std::size_t& bytes) const {
  for (const OutRecord& r : out) {
    const std::int32_t count = partition_count(r.topic);
    if (count == 0) return Error(ErrorCode::not_found, "there is no topic " + r.topic);
    if (r.partition && (*r.partition < 0 || *r.partition >= count)) {
      return Error(ErrorCode::invalid_argument, "no such partition of " + r.topic);
    }
    const std::size_t size = size_of(r);
    if (size > record_bytes_max) return Error(ErrorCode::resource_exhausted, "a record is larger than the bus takes");
    bytes += size;
  }
  return {};
}

void LocalCore::wake_readers(const std::vector<PlacedRecord>& placed) {
  std::set<std::string_view> topics_written;
  for (const PlacedRecord& p : placed) topics_written.insert(p.record->topic);
  for (const std::string_view topic : topics_written) wake_topic(topic);
}

void LocalCore::wake_topic(std::string_view topic) {
  const std::lock_guard lock(mutex);
  const auto [from, to] = waiting.equal_range(topic);
  for (auto w = from; w != to; ++w) {
    if (const auto event = w->second.lock()) event->notify();
  }
}

void LocalCore::listen(const std::string& topic, const std::shared_ptr<async::Event>& event) {
  const std::lock_guard lock(mutex);
  std::erase_if(waiting, [](const auto& entry) { return entry.second.expired(); });
  waiting.emplace(topic, event);
}

void LocalCore::unlisten(const std::shared_ptr<async::Event>& event) {
  const std::lock_guard lock(mutex);
  std::erase_if(waiting, [&](const auto& entry) { return entry.second.expired() || entry.second.lock() == event; });
}

void LocalCore::rebalance(const GroupKey& key) {
  writer.post([self = shared_from_this(), key] { self->rebalance_now(key); });
}

void LocalCore::rebalance_now(const GroupKey& key) {
  bool changed = false;
  {
    const std::lock_guard lock(mutex);
    const auto group = groups.find(key);
    if (group == groups.end()) return;
    changed = group->second.rebalance(writer.steady_now());
  }
  if (changed) wake_topic(key.second);
}

Result<std::vector<Record>> read_some(Storage& storage, const std::string& topic, const Offsets& next, std::size_t turn,
                                      std::size_t records_max, std::size_t bytes_max) {
  std::vector<Record> out;
  std::size_t bytes = 0;
  const std::vector<std::pair<std::int32_t, std::int64_t>> order(next.begin(), next.end());
  for (std::size_t i = 0; i < order.size() && out.size() < records_max; ++i) {
    const auto& [partition, offset] = order[(i + turn) % order.size()];
    if (bytes >= bytes_max) break;
    auto some = storage.read(topic, partition, offset, records_max - out.size(), bytes_max - bytes);
    if (!some) return some.error();
    for (const Record& r : *some) bytes += r.key.size() + (r.value ? r.value->size() : 0);
    out.insert(out.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  return out;
}

}  // namespace fleetward::bus
