// The bus as one process sees it over an unreliable way: requests are late, refused, or done without being told; after
// a crash the process's members stay in their groups until their session is over.
//
// Keeps to what bus/bus.hpp promises: order of appends, all or nothing of a unit of work, an answer for each call.
#pragma once

#include "bus/bus.hpp"
#include "simulation/group_oracle.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

// Each: one in so many; 0: never.
struct BusFaults {
  std::int64_t append_refused = 0;  // nothing is there
  std::int64_t append_partial = 0;  // the first records are there, told as an error
  std::int64_t append_unsaid = 0;   // all is there, told as an error
  std::int64_t commit_refused = 0;
  std::int64_t poll_fails = 0;
  std::int64_t read_fails = 0;
  Millis late_max{0};
  std::int64_t commit_unsaid = 0;  // of units of work: visible, told as an error
  std::int64_t commit_stalls = 0;  // of units of work: the process stands still before it, maybe past its session
};

// Consumers that their process left behind by crashing: never polled again.
using Ghosts = std::vector<std::unique_ptr<bus::Consumer>>;

class ProcessBus final : public bus::Bus {
 public:
  ProcessBus(Universe& universe, Loop& loop, bus::Bus& inner, const BusFaults& faults, Ghosts& ghosts)
      : universe_(universe), loop_(loop), inner_(inner), faults_(faults), ghosts_(ghosts) {}
  // With the process's end: its callbacks are not called any more.
  void cut() { *alive_ = false; }

  Status ensure_topics(const std::vector<bus::TopicSpec>& topics) override { return inner_.ensure_topics(topics); }
  [[nodiscard]] std::int32_t partition_count(std::string_view topic) const override {
    return inner_.partition_count(topic);
  }
  void append_batch(bus::Batch records, bus::AppendCallback done) override;
  Result<std::unique_ptr<bus::Consumer>> subscribe(async::Scheduler& scheduler, bus::ConsumerOptions options) override;
  Result<std::unique_ptr<bus::Reader>> read(async::Scheduler& scheduler, std::string topic,
                                            std::vector<bus::Position> start) override;
  async::Task<Result<std::vector<bus::PartitionRange>>> ranges(async::Scheduler& scheduler, std::string topic) override;
  async::Task<Result<std::vector<bus::Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                            std::string topic) override;

  // Until then every call fails: the way to the bus is cut.
  Instant away_until{};
  // Of each membership, whatever its role asks for; 0: that.
  Millis session_timeout{0};
  GroupOracle* groups = nullptr;    // hears of assignments and units of work
  std::function<void()> on_append;  // records are about to be sent

  // For its consumers and readers.
  [[nodiscard]] bool fails(std::int64_t one_in_n) const;
  [[nodiscard]] bool is_dead() const { return loop_.is_dead(); }
  void leave_behind(std::unique_ptr<bus::Consumer> consumer) { ghosts_.push_back(std::move(consumer)); }

 private:
  async::Task<void> be_late();
  void stand_still();
  void send(bus::Batch records, bus::AppendCallback done, bool tell);

  Universe& universe_;
  Loop& loop_;
  bus::Bus& inner_;
  const BusFaults& faults_;
  Ghosts& ghosts_;
  Instant last_sent_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  friend class ProcessConsumer;
  friend class ProcessReader;
  friend class ProcessWork;
};

}  // namespace fleetward::simulation
