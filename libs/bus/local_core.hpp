// What the local bus, its consumers and its readers share: the writer's queue and its group commit, the topics, the
// groups, and who waits for which topic.
//
// Kept alive by each of them. commit() and rebalance_now() run on the writer; the rest on any thread. Lock order:
// `mutex` and `topics_mutex` are never held together.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "bus/groups.hpp"
#include "bus/local_bus.hpp"
#include "core/patient_clock.hpp"

namespace fleetward::bus {

using GroupKey = std::pair<std::string, std::string>;  // group, topic
using Offsets = std::map<std::int32_t, std::int64_t>;  // by partition

struct WriteRequest {
  Batch records;
  std::vector<OffsetCommit> offsets;
  MemberId member = 0;                // 0: a plain append
  std::vector<std::uint64_t> epochs;  // of the member's claim to the partition of each offset; 0: it has none
  std::size_t bytes = 0;
  AppendCallback done;
};

struct LocalCore : std::enable_shared_from_this<LocalCore> {
  LocalCore(std::unique_ptr<Storage> s, async::Scheduler& w, async::Scheduler& r, metrics::Registry& m,
            LocalBusOptions o)
      : storage(std::move(s)),
        clean_clock(w.now(), w.steady_now()),
        writer(w),
        reader(r),
        options(o),
        commits(m.counter("fleetward_bus_commits_total", "Transactions of the bus's writer.")),
        records(m.counter("fleetward_bus_records_total", "Records made durable.")),
        failed(m.counter("fleetward_bus_commits_failed_total", "Transactions of the bus's writer that failed.")),
        throttled(m.counter("fleetward_bus_throttled_total", "Appends refused because the writer's queue was full.")),
        fenced(m.counter("fleetward_bus_fenced_total", "Units of work refused because a newer owner exists.")),
        damaged(m.counter("fleetward_bus_damaged_records_total",
                          "Records that were left out when they were read: they are not what was written.")),
        cleaned(m.counter("fleetward_bus_cleaned_total", "Records removed by retention and compaction.")) {}

  // ---- writing
  void enqueue(WriteRequest request);
  void drain();
  bool may_commit(const WriteRequest& request);
  void commit(std::vector<WriteRequest>& batch);
  void answer(const WriteRequest& request, std::optional<std::size_t> first, const std::vector<PlacedRecord>& placed,
              const Status& written);

  // ---- health: damage stays until the next start, a failed write until the next good one
  void note_write(const Status& written);
  void note_read(const Status& read);
  [[nodiscard]] Status health() const;

  // ---- topics
  std::int32_t partition_count(std::string_view topic) const;
  Status check(const std::vector<OutRecord>& out, std::size_t& bytes) const;

  // ---- waking

  // Under the lock, so that nobody is notified any more once unlisten() has returned: its scheduler may go then.
  void wake_readers(const std::vector<PlacedRecord>& placed);
  void wake_topic(std::string_view topic);
  void listen(const std::string& topic, const std::shared_ptr<async::Event>& event);
  void unlisten(const std::shared_ptr<async::Event>& event);

  // ---- groups: assignment runs on the writer, between commits
  void rebalance(const GroupKey& key);
  void rebalance_now(const GroupKey& key);

  std::unique_ptr<Storage> storage;
  PatientClock clean_clock;  // the writer's
  async::Scheduler& writer;
  async::Scheduler& reader;
  LocalBusOptions options;

  std::mutex mutex;  // queue, groups, waiting
  std::deque<WriteRequest> queue;
  std::size_t queued_bytes = 0;
  bool draining = false;
  std::map<GroupKey, Group> groups;
  std::multimap<std::string, std::weak_ptr<async::Event>, std::less<>> waiting;

  mutable std::mutex health_mutex;  // taken last
  Status last_write, damage;
  std::uint64_t damaged_before = 0;  // the reader's

  mutable std::mutex topics_mutex;
  std::map<std::string, TopicSpec, std::less<>> topics;

  metrics::Counter& commits;
  metrics::Counter& records;
  metrics::Counter& failed;
  metrics::Counter& throttled;
  metrics::Counter& fenced;
  metrics::Counter& damaged;
  metrics::Counter& cleaned;
};

using LocalCorePtr = std::shared_ptr<LocalCore>;

// Runs a read on the reader thread; the task goes on on its own scheduler.
template <class T>
async::Task<Result<T>> on_reader(LocalCorePtr core, async::Scheduler& scheduler,
                                 std::function<Result<T>(Storage&)> work) {
  std::function<void(std::function<void(Result<T>)>)> start = [core, work](std::function<void(Result<T>)> done) {
    core->reader.post([core, work, done] {
      Result<T> out = work(*core->storage);
      core->note_read(out.ok() ? Status() : Status(out.error()));
      done(std::move(out));
    });
  };
  Result<T> result = co_await async::from_callback<Result<T>>(scheduler, start);
  co_return result;
}

// Up to `records_max` records over the partitions at `next`; starts with another partition each time, so that a busy
// one does not starve the rest.
Result<std::vector<Record>> read_some(Storage& storage, const std::string& topic, const Offsets& next, std::size_t turn,
                                      std::size_t records_max, std::size_t bytes_max);

}  // namespace fleetward::bus
