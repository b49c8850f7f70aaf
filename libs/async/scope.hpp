// Scope, Event, spawn and the bridge from callbacks: the few things with which modules run tasks.
//
// All of it lives on one scheduler's thread, except Event::notify() and Scope::request_stop(), which any thread may
// call. Every wait ends: by its event, by its time limit, or by the stop of its scope.
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "async/scheduler.hpp"
#include "core/result.hpp"

namespace fleetward::async {

// Waits for a result that comes by callback, on any thread; the task goes on on the scheduler's thread.
// `start` is called at once with the callback, which must be called exactly once.
template <class T>
Task<T> from_callback(Scheduler& scheduler, std::function<void(std::function<void(T)>)> start) {
  auto initiate = [&scheduler, &start](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    start([&scheduler, shared](T value) {
      auto boxed = std::make_shared<T>(std::move(value));
      scheduler.post([shared, boxed] { std::move (*shared)(std::move(*boxed)); });
    });
  };
  using Token = boost::asio::use_awaitable_t<Executor>;
  Token token;
  T value = co_await boost::asio::async_initiate<Token, void(T)>(initiate, token);
  co_return value;
}

// A flag that tasks wait for. A notify() without a waiter is kept for the next wait (once).
class Event {
 public:
  explicit Event(Scheduler& scheduler);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  // True when notified, false when the time was over first. Several waiters are all woken.
  Task<bool> wait(Millis limit);
  void notify();  // thread-safe
  // Tasks that wait go no further, as when the event is destroyed: what they hold is let go of. For a module that is
  // dropped without a stop, as a simulated crash does.
  void give_up_waiting();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The tasks of one module: counted, told to stop, waited for.
class Scope {
 public:
  Scope(Scheduler& scheduler, std::string name);
  ~Scope();  // every task must have ended: join() first; sleeps of others are given up
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  // Starts `task` on the scheduler. An exception out of it is a fault of ours: logged, then the process ends.
  // Thread-safe.
  void spawn(std::string task_name, Task<void> task);

  void request_stop();  // thread-safe; ends sleeps early
  [[nodiscard]] bool stopping() const;
  // False when it was cut short by the stop.
  Task<bool> sleep(Millis duration);
  // Waits until every spawned task has ended, at most `limit`; says whether all did. Call from another thread.
  bool join(Millis limit);
  [[nodiscard]] std::size_t running() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::async
