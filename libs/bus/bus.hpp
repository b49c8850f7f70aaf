// The bus: logs and compacted tables, partitioned by key, with consumer groups and a fenced unit of work.
//
// What it promises, on every backend (tests/contract holds them to it):
//  - append() calls back good only after every record of the batch is durable: it survives kill -9 of any process. On
//    an error some of the records may be there all the same (at least once). Order is kept per partition in order of
//    append().
//  - A partition of a group has one owner. Who lost it (session time-out, rebalance) is fenced: its unit of work fails
//    with ErrorCode::fenced and leaves neither records nor offsets, also when the partition has come back meanwhile.
//  - Delivery is at least once: from the committed offset on, in order, without holes except compaction and retention.
//  - An error says by its code whether a retry can help (is_retryable).
//  - Key, value and the values of headers are any bytes; the name of a header is without NUL.
//
// Threads: Bus is thread-safe. A Consumer or Reader lives on the scheduler it was made with, and is used by one task.
// Limits: a record's key, value and headers together at most record_bytes_max; bytes that wait to be written at most
// what the backend's options say, beyond which append() answers throttled.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/scope.hpp"
#include "bus/record.hpp"
#include "core/result.hpp"

namespace fleetward::bus {

constexpr std::size_t record_bytes_max = 1 << 20;

using AppendCallback = std::function<void(Result<std::vector<Position>>)>;

// Records and offsets that become visible together, or not at all.
class UnitOfWork {
 public:
  virtual ~UnitOfWork() = default;
  // Buffered by the bus until commit().
  virtual void append(OutRecord record) = 0;
  // The group goes on reading the partition at `next_offset`. At least one is needed: it is what fences.
  virtual void set_offset(std::int32_t partition, std::int64_t next_offset) = 0;
  // fenced: a newer owner exists; throw the state of that partition away. Retryable errors: nothing is visible; build
  // a new unit of work and commit that. Positions are those of the appended records, in order.
  virtual async::Task<Result<std::vector<Position>>> commit() = 0;
};

struct PollResult {
  // Handle in this order. Partitions that are to be given up: what is not committed before the next poll() is done
  // again by the next owner.
  std::vector<std::int32_t> revoked;
  std::vector<std::int32_t> lost;  // already somebody else's: drop their state, do not commit
  std::vector<Position> assigned;  // new partitions, each with the offset at which reading starts
  std::vector<Record> records;     // in order per partition
};

struct ConsumerOptions {
  std::string group;  // reads one topic: who reads two takes part in two groups
  std::string topic;
  std::string member;              // stable name of this member (static membership)
  Millis session_timeout{10'000};  // silent (no poll) for longer: its partitions go to others
  std::size_t batch_bytes_max = 8 << 20;
};

class Consumer {
 public:
  virtual ~Consumer() = default;  // leaves the group
  // Waits up to `wait` for records or a change of assignment; returns early and empty after wake(), and may do so
  // without: who does not poll again is silent, however long it was ready to wait. A change that an error kept from
  // being told is told by the next poll that succeeds. A member that was silent too long is told what it lost and takes
  // part again; one that another of its name has replaced gets fenced.
  virtual async::Task<Result<PollResult>> poll(std::size_t records_max, Millis wait) = 0;
  virtual void wake() = 0;  // thread-safe
  virtual std::unique_ptr<UnitOfWork> begin() = 0;
  // Offsets alone: begin(), set_offset(), commit().
  async::Task<Status> commit(std::vector<Position> next_offsets);
  virtual void pause(std::int32_t partition) = 0;
  virtual void resume(std::int32_t partition) = 0;
  virtual void seek(std::int32_t partition, std::int64_t next_offset) = 0;
  // Gives all partitions back in good order.
  virtual async::Task<Status> close() = 0;
};

// Reads given partitions without a group: tables, sibling partitions, replay.
class Reader {
 public:
  virtual ~Reader() = default;
  virtual async::Task<Result<std::vector<Record>>> poll(std::size_t records_max, Millis wait) = 0;
  virtual void wake() = 0;  // thread-safe
  // Whether everything that was there when the reader was made, or at the latest when it was first polled, has been
  // returned by poll().
  [[nodiscard]] virtual bool caught_up() const = 0;
  // The next offset it will read of each of its partitions; once it was polled, one that is there.
  [[nodiscard]] virtual std::vector<Position> positions() const = 0;
};

struct PartitionRange {
  std::int32_t partition = 0;
  std::int64_t begin = 0;  // first offset that is there
  std::int64_t end = 0;    // offset the next record gets
};

class Bus {
 public:
  virtual ~Bus() = default;

  // Makes what is missing; a topic that exists with another partition count or kind is failed_precondition. Blocking.
  virtual Status ensure_topics(const std::vector<TopicSpec>& topics) = 0;
  // 0 when there is no such topic.
  [[nodiscard]] virtual std::int32_t partition_count(std::string_view topic) const = 0;

  // `done` is called once, on a thread of the bus: do little in it (post to a scheduler).
  virtual void append_batch(Batch records, AppendCallback done) = 0;
  void append(std::vector<OutRecord> records, AppendCallback done) {
    append_batch(std::make_shared<const std::vector<OutRecord>>(std::move(records)), std::move(done));
  }

  // Why it does not serve: the last write was not made, or something of it cannot be read. Thread-safe.
  [[nodiscard]] virtual Status health() const { return {}; }

  virtual Result<std::unique_ptr<Consumer>> subscribe(async::Scheduler& scheduler, ConsumerOptions options) = 0;
  // From `start` of each partition on; an offset below what is there starts at the first that is.
  virtual Result<std::unique_ptr<Reader>> read(async::Scheduler& scheduler, std::string topic,
                                               std::vector<Position> start) = 0;
  virtual async::Task<Result<std::vector<PartitionRange>>> ranges(async::Scheduler& scheduler, std::string topic) = 0;
  // Committed offset of a group: where its next owner starts. Partitions without one are left out.
  virtual async::Task<Result<std::vector<Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                               std::string topic) = 0;
};

// append() as a task.
async::Task<Result<std::vector<Position>>> append(Bus& bus, async::Scheduler& scheduler,
                                                  std::vector<OutRecord> records);

// Every partition of the topic from its beginning: how tables are read.
Result<std::unique_ptr<Reader>> read_all(Bus& bus, async::Scheduler& scheduler, std::string topic);

}  // namespace fleetward::bus
