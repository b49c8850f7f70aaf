// Keeps dead letters in the store, where people look them up and have them replayed.
//
// Reads topic dead-letters in a consumer group of its own; a batch is one transaction, and its offsets are committed
// after it. What is no dead letter is counted and passed over: it stands on the topic still. Lives on the historian's
// scheduler, as a task of its scope.
#pragma once

#include <atomic>

#include "async/scope.hpp"
#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "services/historian/historian.hpp"
#include "store/store.hpp"

namespace fleetward::historian {

class LetterKeeper {
 public:
  // All of them outlive it.
  LetterKeeper(const HistorianSettings& settings, bus::Bus& bus, store::Store& store, async::Scheduler& scheduler,
               async::Scope& scope, metrics::Registry& metrics);

  Status start();
  void wake();  // own thread
  [[nodiscard]] bool is_behind() const { return is_behind_; }

 private:
  async::Task<void> run();
  async::Task<void> handle(const std::vector<bus::Record>& records);
  async::Task<Status> keep(const std::vector<bus::Record>& records);

  const HistorianSettings& settings_;
  bus::Bus& bus_;
  store::Store& store_;
  async::Scheduler& scheduler_;
  async::Scope& scope_;
  std::unique_ptr<bus::Consumer> consumer_;
  std::atomic<bool> is_behind_{false};
  metrics::Counter& recorded_;
  metrics::Counter& repeated_;
  metrics::Counter& refused_;
};

}  // namespace fleetward::historian
