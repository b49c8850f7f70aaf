// What every backend counts of its transactions, under one name each.
#pragma once

#include "metrics/metrics.hpp"

namespace fleetward::store {

struct StoreMetrics {
  explicit StoreMetrics(metrics::Registry& r)
      : commits(r.counter("fleetward_store_commits_total", "Transactions committed.")),
        rollbacks(r.counter("fleetward_store_rollbacks_total", "Transactions rolled back.")),
        throttled(r.counter("fleetward_store_throttled_total", "Transactions refused: too many waiting.")) {}

  metrics::Counter& commits;
  metrics::Counter& rollbacks;
  metrics::Counter& throttled;
};

}  // namespace fleetward::store
