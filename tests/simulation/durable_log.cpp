#include "simulation/durable_log.hpp"

namespace fleetward::simulation {

class DurableLog::Handle final : public bus::Storage {
 public:
  explicit Handle(DurableLog& log) : log_(log) {}

  Status ensure_topic(const bus::TopicSpec& spec) override { return log_.storage_->ensure_topic(spec); }
  Result<std::vector<bus::TopicSpec>> topics() override { return log_.storage_->topics(); }
  Status write(std::span<bus::PlacedRecord> records, std::span<const bus::OffsetCommit> offsets, Instant now) override {
    return log_.write(records, offsets, now);
  }
  Result<std::vector<bus::Record>> read(const std::string& topic, std::int32_t partition, std::int64_t from,
                                        std::size_t records_max, std::size_t bytes_max) override {
    return log_.storage_->read(topic, partition, from, records_max, bytes_max);
  }
  Result<bus::PartitionBounds> bounds(const std::string& topic, std::int32_t partition) override {
    return log_.storage_->bounds(topic, partition);
  }
  Result<std::optional<std::int64_t>> committed(const std::string& group, const std::string& topic,
                                                std::int32_t partition) override {
    return log_.storage_->committed(group, topic, partition);
  }
  Result<bus::CleanStep> clean(const bus::TopicSpec& spec, std::int32_t partition, Instant now, Millis keep,
                               std::size_t rows_max) override {
    return log_.storage_->clean(spec, partition, now, keep, rows_max);
  }

 private:
  DurableLog& log_;
};

std::unique_ptr<bus::Storage> DurableLog::handle() { return std::make_unique<Handle>(*this); }

Status DurableLog::write(std::span<bus::PlacedRecord> records, std::span<const bus::OffsetCommit> offsets,
                         Instant now) {
  if (write_fails && write_fails()) return Error(ErrorCode::unavailable, "the disk does not take it");
  const Status done = storage_->write(records, offsets, now);
  if (!done || !on_write) return done;
  Written written;
  for (const bus::PlacedRecord& p : records) {
    const bus::OutRecord& r = *p.record;
    written.records.push_back({r.topic, p.partition, p.offset, now, r.key, r.value, r.headers});
  }
  written.offsets.assign(offsets.begin(), offsets.end());
  on_write(written);
  return done;
}

std::vector<bus::Record> DurableLog::all(const std::string& topic, std::int32_t partitions) {
  std::vector<bus::Record> out;
  for (std::int32_t p = 0; p < partitions; ++p) {
    auto some = storage_->read(topic, p, 0, std::numeric_limits<std::size_t>::max(), std::size_t{1} << 40);
    if (some) out.insert(out.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  return out;
}

}  // namespace fleetward::simulation
