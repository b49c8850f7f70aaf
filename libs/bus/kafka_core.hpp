// What the Kafka bus, its consumers and its readers share: options, the topics that are known, threads, metrics.
//
// Kept alive by each of them; all of them are gone before the bus is. Thread-safe.
#pragma once

#include <mutex>

#include "async/scheduler.hpp"
#include "bus/kafka_lookup.hpp"

namespace fleetward::bus::kafka {

struct KafkaCore {
  KafkaCore(KafkaOptions o, std::unique_ptr<Lookup> l, metrics::Registry& m)
      : options(std::move(o)),
        lookup(std::move(l)),
        commits(m.counter("fleetward_bus_commits_total", "Transactions of the bus's writer.")),
        records(m.counter("fleetward_bus_records_total", "Records made durable.")),
        failed(m.counter("fleetward_bus_commits_failed_total", "Transactions of the bus's writer that failed.")),
        throttled(m.counter("fleetward_bus_throttled_total", "Appends refused because the writer's queue was full.")),
        fenced(m.counter("fleetward_bus_fenced_total", "Units of work refused because a newer owner exists.")),
        stalls(m.counter("fleetward_bus_stalled_consumers_total",
                         "Consumers made anew because they got nothing although there was more to read.")),
        broken(m.counter("fleetward_bus_producers_renewed_total", "Producers made anew after a fatal error.")) {}

  // 0: not known; it is asked for then, in the background, so that a topic that comes later is known soon.
  std::int32_t partition_count(std::string_view topic);
  // Where each record of the batch goes; not_found, invalid_argument, resource_exhausted.
  Status place(const std::vector<OutRecord>& out, std::vector<std::int32_t>& partitions, std::size_t& bytes);
  Status refresh_topics();

  KafkaOptions options;
  std::unique_ptr<Lookup> lookup;

  std::mutex topics_mutex;
  std::map<std::string, std::int32_t, std::less<>> topics;
  bool is_refreshing = false;
  std::chrono::steady_clock::time_point refreshed_at;

  metrics::Counter& commits;
  metrics::Counter& records;
  metrics::Counter& failed;
  metrics::Counter& throttled;
  metrics::Counter& fenced;
  metrics::Counter& stalls;
  metrics::Counter& broken;

  // Last, so that they end first.
  async::LoopThread lookups{"kafka-lookup"};  // questions that may take a while
  async::LoopThread closer{"kafka-close"};    // ends what its owner has let go of
};

using KafkaCorePtr = std::shared_ptr<KafkaCore>;

// Runs what may block on `thread`; the task goes on on its own scheduler. What `work` holds outlives the wait.
template <class T>
async::Task<Result<T>> on_thread(async::LoopThread& thread, async::Scheduler& scheduler,
                                 std::function<Result<T>()> work) {
  std::function<void(std::function<void(Result<T>)>)> start = [&thread, work](std::function<void(Result<T>)> done) {
    thread.post([work, done] { done(work()); });
  };
  Result<T> result = co_await async::from_callback<Result<T>>(scheduler, start);
  co_return result;
}

}  // namespace fleetward::bus::kafka
