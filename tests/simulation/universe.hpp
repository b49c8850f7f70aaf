// Virtual time, seeded choice, and the threads that share them.
//
// A Universe is a set of Loops on one real thread. It picks which loop runs its next piece of work (the order between
// loops is the seed's choice, the order within one is that of posting), and moves the clock when nobody can run. A loop
// is one thread of one simulated process: it can be slow, stand still for a while, or die with everything in it.
#pragma once

#include <boost/asio/execution_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/scheduler.hpp"

namespace fleetward::simulation {

// Seeded choice: the same numbers for the same seed on any machine (splitmix64).
class Choice {
 public:
  explicit Choice(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::int64_t below(std::int64_t bound);  // uniform enough in [0, bound)
  std::int64_t between(std::int64_t low, std::int64_t high) { return low + below(high - low + 1); }
  bool one_in(std::int64_t n) { return n > 0 && below(n) == 0; }
  Millis millis(std::int64_t low, std::int64_t high) { return Millis(between(low, high)); }

 private:
  std::uint64_t state_;
};

class Universe;

class Loop final : public async::Scheduler {
 public:
  // How long a posted piece of work takes to get its turn; empty: none.
  using Latency = std::function<Millis()>;

  Loop(Universe& universe, std::string name, Latency latency = {});
  ~Loop() override;

  async::Executor executor() override;
  void post(std::function<void()> work) override;
  async::TimerId call_after(Millis delay, std::function<void()> work) override;
  void cancel(async::TimerId timer) override;
  void run_and_wait(const std::function<void()>& work) override { work(); }
  [[nodiscard]] Instant now() const override;
  [[nodiscard]] std::chrono::nanoseconds steady_now() const override;

  [[nodiscard]] const std::string& name() const { return name_; }
  // Nothing of it runs for that long: a stopped process, which believes what it knew before.
  void stand_still(Millis duration);
  [[nodiscard]] Instant still_until() const { return still_until_; }
  // Nothing of it runs any more, what comes later is dropped.
  void die() { dead_ = true; }
  // What was queued goes, with the tasks in it. After what it belongs to has been destroyed.
  void drop_everything();
  [[nodiscard]] bool is_dead() const { return dead_; }
  Millis clock_error{0};  // of its wall clock

 private:
  friend class Universe;
  struct Item {
    Instant ready;
    std::function<void()> work;
  };
  using TimerKey = std::pair<Instant, async::TimerId>;

  [[nodiscard]] std::optional<Instant> next_at() const;  // when something could run
  void run_one(Choice& choice);

  Universe& universe_;
  std::string name_;
  Latency latency_;
  std::unique_ptr<boost::asio::execution_context> context_;
  std::deque<Item> queue_;
  std::map<TimerKey, std::function<void()>> timers_;
  std::map<async::TimerId, Instant> due_;
  async::TimerId last_timer_ = async::no_timer;
  Instant still_until_{};
  bool dead_ = false;
};

class Universe {
 public:
  Universe(std::uint64_t seed, Instant start) : choice_(seed), start_(start), now_(start) {}

  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] Millis elapsed() const { return now_ - start_; }
  [[nodiscard]] Instant start() const { return start_; }
  Choice& choice() { return choice_; }

  // Runs until `duration` has passed or a failure was told. After each piece of work `after_each` is called with the
  // loop that did it: the places at which a process may die or stall.
  void run_for(Millis duration);
  std::function<void(Loop&)> after_each;

  // The first failure is kept; nothing runs after it.
  void fail(const std::string& what);
  [[nodiscard]] const std::string& failure() const { return failure_; }
  [[nodiscard]] bool failed() const { return !failure_.empty(); }

  void note(std::string line);  // what happened, with the time: the last ones are shown with a failure
  [[nodiscard]] std::string history() const;
  [[nodiscard]] std::uint64_t steps() const { return steps_; }
  // Of everything that was noted: two runs of a seed must agree in it.
  [[nodiscard]] std::uint64_t fingerprint() const { return fingerprint_; }

 private:
  friend class Loop;
  Choice choice_;
  Instant start_;
  Instant now_;
  std::vector<Loop*> loops_;
  std::string failure_;
  std::deque<std::string> history_;
  std::uint64_t steps_ = 0;
  std::uint64_t steps_at_this_time_ = 0;
  std::uint64_t fingerprint_ = 14695981039346656037U;
};

}  // namespace fleetward::simulation
