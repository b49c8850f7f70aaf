#include "async/scope.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <condition_variable>
#include <mutex>

#include "log/log.hpp"

namespace fleetward::async {
namespace {

namespace asio = boost::asio;

}  // namespace

// ---- Event

struct Event::State {
  explicit State(Scheduler& s) : scheduler(s) {}

  struct Waiter {
    std::uint64_t number = 0;
    std::function<void(bool)> resume;
    TimerId timer = no_timer;
  };

  void expire(std::uint64_t number) {
    const auto waiter =
        std::find_if(waiters.begin(), waiters.end(), [number](const Waiter& w) { return w.number == number; });
    if (waiter != waiters.end()) wake(waiter, false);
  }

  void wake(std::list<Waiter>::iterator waiter, bool by_event) {
    scheduler.cancel(waiter->timer);
    const auto resume = std::move(waiter->resume);
    waiters.erase(waiter);
    resume(by_event);
  }

  Scheduler& scheduler;
  std::list<Waiter> waiters;
  std::uint64_t last_number = 0;
  bool notified = false;
};

Event::Event(Scheduler& scheduler) : state_(std::make_shared<State>(scheduler)) {}
Event::~Event() { give_up_waiting(); }

// The tasks hold the state in which they are held: without this neither would ever go. They are let go of where they
// stand, on their own scheduler. With nobody waiting, which is the rule, nothing is written: other threads may look.
void Event::give_up_waiting() {
  if (state_->waiters.empty()) return;
  const auto given_up = std::exchange(state_->waiters, {});
}

void Event::notify() {
  state_->scheduler.post([state = state_] {
    if (state->waiters.empty()) {
      state->notified = true;
      return;
    }
    while (!state->waiters.empty()) state->wake(state->waiters.begin(), true);
  });
}

Task<bool> Event::wait(Millis limit) {
  const auto state = state_;
  if (state->notified) {
    state->notified = false;
    co_return true;
  }
  std::function<void(std::function<void(bool)>)> start = [state, limit](std::function<void(bool)> resume) {
    const std::uint64_t number = ++state->last_number;
    state->waiters.push_back({number, std::move(resume), no_timer});
    state->waiters.back().timer = state->scheduler.call_after(limit, [state, number] { state->expire(number); });
  };
  const bool notified = co_await from_callback<bool>(state->scheduler, start);
  co_return notified;
}

// ---- Scope

struct Scope::State {
  State(Scheduler& s, std::string n) : scheduler(s), name(std::move(n)), stop_event(s) {}
  Scheduler& scheduler;
  std::string name;
  std::mutex mutex;
  std::condition_variable all_ended;
  std::size_t running = 0;
  std::atomic<bool> stopping{false};
  Event stop_event;
};

Scope::Scope(Scheduler& scheduler, std::string name) : state_(std::make_shared<State>(scheduler, std::move(name))) {}
Scope::~Scope() { state_->stop_event.give_up_waiting(); }

void Scope::spawn(std::string task_name, Task<void> task) {
  {
    const std::lock_guard lock(state_->mutex);
    ++state_->running;
  }
  auto ended = [state = state_, task_name = std::move(task_name)](std::exception_ptr failure) {
    if (failure) {
      try {
        std::rethrow_exception(failure);
      } catch (const std::exception& e) {
        log::error("task_failed", {{"scope", state->name}, {"task", task_name}, {"what", e.what()}});
      }
      std::abort();
    }
    const std::lock_guard lock(state->mutex);
    if (--state->running == 0) state->all_ended.notify_all();
  };
  asio::co_spawn(state_->scheduler.executor(), std::move(task), std::move(ended));
}

void Scope::request_stop() {
  state_->stopping = true;
  state_->stop_event.notify();
}

bool Scope::stopping() const { return state_->stopping; }

Task<bool> Scope::sleep(Millis duration) {
  const auto state = state_;
  if (state->stopping) co_return false;
  const bool stopped = co_await state->stop_event.wait(duration);
  co_return !stopped;
}

bool Scope::join(Millis limit) {
  std::unique_lock lock(state_->mutex);
  return state_->all_ended.wait_for(lock, limit, [this] { return state_->running == 0; });
}

std::size_t Scope::running() const {
  const std::lock_guard lock(state_->mutex);
  return state_->running;
}

}  // namespace fleetward::async
