// The bus of one process over a Storage: group commit on one writer, readers that are woken by the commit.
//
// The writer takes everything that queued up while the last transaction ran and commits it as one. Assignment of
// partitions runs on the writer too, so a unit of work that was found to be its partition's owner is durable before the
// next owner is told where to start.
//
// Limits: queue_bytes_max bytes wait for the writer (then append() answers throttled).
#pragma once

#include <memory>

#include "bus/bus.hpp"
#include "bus/storage.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::bus {

struct LocalBusOptions {
  std::size_t queue_bytes_max = 64 << 20;
  Millis clean_every{60'000};
  Millis table_keep{24 * 3'600'000};  // compaction leaves younger records alone
};

// `writer` and `reader` are schedulers of the bus (two threads, or one virtual one); they and `storage` outlive it.
std::unique_ptr<Bus> make_local_bus(std::unique_ptr<Storage> storage, async::Scheduler& writer,
                                    async::Scheduler& reader, metrics::Registry& metrics, LocalBusOptions options = {});

}  // namespace fleetward::bus
