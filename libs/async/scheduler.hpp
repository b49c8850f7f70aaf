// Scheduler: where a module lives, and the only clock it reads. One thread's worth of execution.
//
// Two kinds: LoopThread (a thread and real time) and VirtualScheduler (the caller's thread and a clock that only the
// test moves). Everything but post() and now() is for the scheduler's own thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "async/task.hpp"
#include "core/time.hpp"

namespace fleetward::async {

using TimerId = std::uint64_t;
constexpr TimerId no_timer = 0;

class Scheduler {
 public:
  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  virtual ~Scheduler() = default;

  virtual Executor executor() = 0;
  // Runs `work` on the scheduler's thread, in order of posting. Thread-safe.
  virtual void post(std::function<void()> work) = 0;
  // Runs `work` once after `delay`; cancel() with the id takes it back. Own thread only.
  virtual TimerId call_after(Millis delay, std::function<void()> work) = 0;
  virtual void cancel(TimerId timer) = 0;
  // Runs `work` there and waits for it; never from the scheduler's own thread. One that shares its caller's thread runs
  // it at once.
  virtual void run_and_wait(const std::function<void()>& work);

  virtual Instant now() const = 0;  // wall clock, thread-safe
  // For measuring durations: never steps back. Thread-safe.
  virtual std::chrono::nanoseconds steady_now() const = 0;
};

// A named thread that runs posted work and sockets until it is destroyed or stopped.
class LoopThread final : public Scheduler {
 public:
  explicit LoopThread(std::string name);
  ~LoopThread() override;  // stop()

  Executor executor() override;
  void post(std::function<void()> work) override;
  TimerId call_after(Millis delay, std::function<void()> work) override;
  void cancel(TimerId timer) override;
  Instant now() const override;
  std::chrono::nanoseconds steady_now() const override;

  // Ends the thread after the work that is running; what is queued is dropped. Call from another thread.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Virtual time on the caller's thread: nothing runs outside run_*().
class VirtualScheduler final : public Scheduler {
 public:
  explicit VirtualScheduler(Instant start);
  ~VirtualScheduler() override;

  Executor executor() override;
  void post(std::function<void()> work) override;
  TimerId call_after(Millis delay, std::function<void()> work) override;
  void cancel(TimerId timer) override;
  void run_and_wait(const std::function<void()>& work) override { work(); }
  Instant now() const override;
  std::chrono::nanoseconds steady_now() const override;

  void run_ready();               // everything that can run without time passing
  void run_for(Millis duration);  // ready work and due timers, in order of time then of setting
  // Until `done` says so, moving from timer to timer, at most `limit` of virtual time. Says whether it was done.
  bool run_until(const std::function<bool()>& done, Millis limit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Runs `body` on `scheduler`'s thread and waits for it. For set-up and tests, from another thread.
void run_on(Scheduler& scheduler, const std::function<void()>& body);

}  // namespace fleetward::async
