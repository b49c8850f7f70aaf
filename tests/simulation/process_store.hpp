// The store as one process sees it: the production SQL on one database in memory, whose transactions take time on their
// way there and back, in any order; a process that dies meanwhile never hears of them. Wake-ups get lost.
#pragma once

#include "metrics/metrics.hpp"
#include "simulation/universe.hpp"
#include "store/store.hpp"

namespace fleetward::simulation {

// Each: one in so many; 0: never.
struct StoreFaults {
  std::int64_t refused = 0;      // nothing is done
  std::int64_t unsaid = 0;       // committed, told as an error
  std::int64_t notify_lost = 0;  // of wake-ups
  Millis late_max{3};
};

// The database that all processes share, and what survives of it: everything that was committed.
class SharedStore {
 public:
  explicit SharedStore(Universe& universe);
  store::Store& direct() { return *store_; }
  // One transaction of the world's own, at once.
  Status now(const std::function<Status(store::Transaction&)>& work);
  std::function<void()> on_commit;  // of a process
  Universe& universe() { return universe_; }

 private:
  class AtOnce;
  Universe& universe_;
  std::unique_ptr<async::Scheduler> at_once_;
  metrics::Registry metrics_;
  std::unique_ptr<store::Store> store_;
};

class ProcessStore final : public store::Store {
 public:
  ProcessStore(SharedStore& shared, Loop& loop, const StoreFaults& faults)
      : shared_(shared), loop_(loop), faults_(faults) {}

  Status migrate(const std::vector<store::Migration>& migrations) override {
    return shared_.direct().migrate(migrations);
  }
  std::unique_ptr<store::Listener> listen(async::Scheduler& scheduler, std::string channel) override {
    return shared_.direct().listen(scheduler, std::move(channel));
  }
  void run(std::function<Status(store::Transaction&)> work, std::function<void(Status)> done) override;

  Instant away_until{};

 private:
  void arrive(const std::function<Status(store::Transaction&)>& work, std::function<void(Status)> done);
  [[nodiscard]] Millis late() { return shared_.universe().choice().millis(0, faults_.late_max.count()); }

  SharedStore& shared_;
  Loop& loop_;
  const StoreFaults& faults_;
};

}  // namespace fleetward::simulation
