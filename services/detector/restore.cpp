#include "services/detector/restore.hpp"

#include <fmt/format.h>

#include "core/text.hpp"
#include "fleet/topics.hpp"

namespace fleetward::detector {
namespace {

constexpr std::size_t batch_records = 1'000;  // some milliseconds of work, in which nothing else is done
constexpr Millis read_wait{1'000};

// What has been read so far.
struct Loading {
  std::unique_ptr<detect::PartitionEngine> engine;
  std::optional<std::string> own;  // the newest record of the partition itself
};

Status take(Loading& loading, std::int32_t partition, std::vector<bus::Record>& records) {
  const std::string own_key = detect::PartitionEngine::partition_key(partition);
  for (bus::Record& record : records) {
    if (record.key == own_key) {
      loading.own = std::move(record.value);
      continue;
    }
    if (const Status taken = loading.engine->restore_device(record.key, record.value); !taken) {
      return taken.error().with_context(printable(record.key, 128));
    }
  }
  return {};
}

Status finish(Loading& loading, std::int64_t start_offset) {
  if (loading.own) {
    if (const Status status = loading.engine->restore_partition(*loading.own); !status) return status;
  } else if (loading.engine->device_count() > 0) {
    return Error(ErrorCode::corrupted, "there are checkpoints of devices, and none of the partition");
  }
  if (loading.engine->next_offset() == start_offset) return {};
  return Error(ErrorCode::unavailable, fmt::format("the checkpoint is of offset {}, the group's offset is {}",
                                                   loading.engine->next_offset(), start_offset));
}

// Of a state that was not read whole: a quarter more, so that it is not read again and again for a little more room.
std::size_t needed(std::size_t bytes_read, bool is_whole) {
  return is_whole ? bytes_read : bytes_read + bytes_read / 4;
}

// Whether the group has ever committed an offset of the partition: one without any state is its first owner's.
async::Task<Result<bool>> has_commit(const RestoreSource& source, std::int32_t partition) {
  const Result<std::vector<bus::Position>> committed =
      co_await source.bus.committed(source.scheduler, source.group, std::string(fleet::topic::devices));
  if (!committed) co_return committed.error();
  co_return std::any_of(committed->begin(), committed->end(),
                        [partition](const bus::Position& p) { return p.partition == partition; });
}

}  // namespace

async::Task<Result<std::unique_ptr<detect::PartitionEngine>>> restore(const RestoreSource& source,
                                                                      std::shared_ptr<OwnedPartition> owned) {
  const std::int32_t partition = owned->partition;
  Loading loading{std::make_unique<detect::PartitionEngine>(partition, source.rules, source.snapshots), {}};
  auto reader = source.bus.read(source.scheduler, std::string(fleet::topic::detector_state), {{partition, 0}});
  if (!reader) co_return reader.error();
  async::Event turn(source.scheduler);
  while (!(*reader)->caught_up()) {
    Result<std::vector<bus::Record>> some = co_await (*reader)->poll(batch_records, read_wait);
    if (!some) co_return some.error();
    co_await turn.wait(Millis(0));  // others have theirs, also where there is always more to read
    if (const Status taken = take(loading, partition, *some); !taken) co_return taken.error();
    owned->bytes_read = loading.engine->state_bytes();
    if (!source.goes_on(*owned)) {
      owned->bytes_needed = needed(owned->bytes_read, (*reader)->caught_up());
      co_return std::unique_ptr<detect::PartitionEngine>();
    }
  }
  if (!loading.own && loading.engine->device_count() == 0) {
    const Result<bool> is_known = co_await has_commit(source, partition);
    if (!is_known) co_return is_known.error();
    if (!*is_known) co_return std::move(loading.engine);  // the first owner ever
  }
  const Status finished = finish(loading, owned->start_offset);
  if (!finished) co_return finished.error();
  co_return std::move(loading.engine);
}

}  // namespace fleetward::detector
