// The embedded store: one SQLite file, one thread, one commit a transaction.
#pragma once

#include <memory>
#include <string>

#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::store {

// Makes the folder and the file; one process at a time (a lock file beside it). corrupted: the file is damaged.
// Limits: work_max transactions wait; beyond that run() answers throttled.
Result<std::unique_ptr<Store>> open_sqlite_store(const std::string& path, metrics::Registry& metrics,
                                                 std::size_t work_max = 10'000);

// The same in memory, on the scheduler that is given: for tests and the simulation. The scheduler outlives it.
Result<std::unique_ptr<Store>> open_memory_store(async::Scheduler& scheduler, metrics::Registry& metrics,
                                                 std::size_t work_max = 10'000);

}  // namespace fleetward::store
