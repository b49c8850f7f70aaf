#include "bus/memory_storage.hpp"

#include <map>
#include <mutex>

namespace fleetward::bus {
namespace {

struct PartitionLog {
  std::map<std::int64_t, Record> records;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

class MemoryStorage final : public Storage {
 public:
  Status ensure_topic(const TopicSpec& spec) override {
    const std::lock_guard lock(mutex_);
    const auto [found, made] = specs_.try_emplace(spec.name, spec);
    if (!made && (found->second.partitions != spec.partitions || found->second.kind != spec.kind)) {
      return Error(ErrorCode::failed_precondition, "topic " + spec.name + " exists with another shape");
    }
    return {};
  }

  Result<std::vector<TopicSpec>> topics() override {
    const std::lock_guard lock(mutex_);
    std::vector<TopicSpec> out;
    for (const auto& [name, spec] : specs_) out.push_back(spec);
    return out;
  }

  Status write(std::span<PlacedRecord> records, std::span<const OffsetCommit> offsets, Instant now) override {
    const std::lock_guard lock(mutex_);
    for (PlacedRecord& placed : records) {
      const OutRecord& r = *placed.record;
      PartitionLog& log = logs_[{r.topic, placed.partition}];
      placed.offset = log.end++;
      log.records.emplace(placed.offset,
                          Record{r.topic, placed.partition, placed.offset, now, r.key, r.value, r.headers});
    }
    for (const OffsetCommit& o : offsets) committed_[{o.group, o.topic, o.partition}] = o.next_offset;
    return {};
  }

  Result<std::vector<Record>> read(const std::string& topic, std::int32_t partition, std::int64_t from,
                                   std::size_t records_max, std::size_t bytes_max) override {
    const std::lock_guard lock(mutex_);
    const PartitionLog& log = logs_[{topic, partition}];
    std::vector<Record> out;
    std::size_t bytes = 0;
    for (auto r = log.records.lower_bound(from); r != log.records.end() && out.size() < records_max; ++r) {
      bytes += r->second.value ? r->second.value->size() : 0;
      if (!out.empty() && bytes > bytes_max) break;
      out.push_back(r->second);
    }
    return out;
  }

  Result<PartitionBounds> bounds(const std::string& topic, std::int32_t partition) override {
    const std::lock_guard lock(mutex_);
    const PartitionLog& log = logs_[{topic, partition}];
    return PartitionBounds{log.records.empty() ? log.end : log.records.begin()->first, log.end};
  }

  Result<std::optional<std::int64_t>> committed(const std::string& group, const std::string& topic,
                                                std::int32_t partition) override {
    const std::lock_guard lock(mutex_);
    const auto found = committed_.find({group, topic, partition});
    return found == committed_.end() ? std::optional<std::int64_t>() : std::optional(found->second);
  }

  Result<CleanStep> clean(const TopicSpec& spec, std::int32_t partition, Instant now, Millis keep,
                          std::size_t rows_max) override {
    const std::lock_guard lock(mutex_);
    auto& records = logs_[{spec.name, partition}].records;
    return spec.kind == TopicKind::log ? expire(records, spec.retention, now, rows_max)
                                       : compact(records, now - keep, rows_max);
  }

 private:
  using Records = std::map<std::int64_t, Record>;

  static CleanStep expire(Records& records, Millis retention, Instant now, std::size_t rows_max) {
    CleanStep step;
    if (retention <= Millis(0)) return step;
    while (!records.empty() && records.begin()->second.append_time < now - retention) {
      if (static_cast<std::size_t>(step.removed) == rows_max) {
        step.more = true;
        break;
      }
      records.erase(records.begin());
      ++step.removed;
    }
    return step;
  }

  static CleanStep compact(Records& records, Instant older_than, std::size_t rows_max) {
    std::map<std::string_view, std::pair<std::int64_t, std::int64_t>> span;  // oldest and newest of each key
    for (const auto& [offset, r] : records) span.try_emplace(r.key, offset, offset).first->second.second = offset;
    std::vector<std::int64_t> doomed;
    for (const auto& [offset, r] : records) {
      if (r.append_time >= older_than || doomed.size() == rows_max) break;
      const auto [oldest, newest] = span.at(r.key);
      if (offset < newest || (!r.value && offset == oldest)) doomed.push_back(offset);
    }
    for (const std::int64_t offset : doomed) records.erase(offset);
    return {static_cast<std::int64_t>(doomed.size()), !doomed.empty()};
  }

  std::mutex mutex_;
  std::map<std::string, TopicSpec> specs_;
  std::map<std::pair<std::string, std::int32_t>, PartitionLog> logs_;
  std::map<std::tuple<std::string, std::string, std::int32_t>, std::int64_t> committed_;
};

}  // namespace

std::unique_ptr<Storage> make_memory_storage() { return std::make_unique<MemoryStorage>(); }

}  // namespace fleetward::bus
