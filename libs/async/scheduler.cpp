#include "async/scheduler.hpp"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <map>
#include <thread>

namespace fleetward::async {
namespace {

namespace asio = boost::asio;

Instant wall_now() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

}  // namespace

// ---- LoopThread

struct LoopThread::State {
  // Handlers that never ran are destroyed with the context, after the timers: what they own may still cancel().
  bool closed = false;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  std::map<TimerId, asio::steady_timer> timers;
  TimerId last_timer = no_timer;
  std::thread thread;
};

LoopThread::LoopThread(std::string name) : state_(std::make_unique<State>()) {
  state_->thread = std::thread([this, thread_name = name.substr(0, 15)] {
    pthread_setname_np(pthread_self(), thread_name.c_str());
    state_->context.run();
  });
}

LoopThread::~LoopThread() {
  stop();
  state_->closed = true;
}

void LoopThread::stop() {
  if (!state_->thread.joinable()) return;
  state_->context.stop();
  state_->thread.join();
}

Executor LoopThread::executor() { return state_->context.get_executor(); }
void LoopThread::post(std::function<void()> work) { asio::post(state_->context, std::move(work)); }

TimerId LoopThread::call_after(Millis delay, std::function<void()> work) {
  const TimerId id = ++state_->last_timer;
  auto [entry, inserted] = state_->timers.try_emplace(id, state_->context, delay);
  entry->second.async_wait([this, id, run = std::move(work)](const boost::system::error_code& error) {
    if (error) return;
    // A cancel() that came after the expiry was queued has taken the entry away.
    if (state_->timers.erase(id) == 1) run();
  });
  return id;
}

void LoopThread::cancel(TimerId timer) {
  if (!state_->closed) state_->timers.erase(timer);
}
Instant LoopThread::now() const { return wall_now(); }
std::chrono::nanoseconds LoopThread::steady_now() const { return std::chrono::steady_clock::now().time_since_epoch(); }

// ---- VirtualScheduler

struct VirtualScheduler::State {
  using Key = std::pair<Instant, TimerId>;
  bool closed = false;  // as LoopThread's
  asio::io_context context{1};
  Instant start;
  Instant now;
  std::map<Key, std::function<void()>> timers;
  std::map<TimerId, Instant> due;
  TimerId last_timer = no_timer;
};

VirtualScheduler::VirtualScheduler(Instant start) : state_(std::make_unique<State>()) {
  state_->start = start;
  state_->now = start;
}
VirtualScheduler::~VirtualScheduler() { state_->closed = true; }

Executor VirtualScheduler::executor() { return state_->context.get_executor(); }
void VirtualScheduler::post(std::function<void()> work) { asio::post(state_->context, std::move(work)); }

TimerId VirtualScheduler::call_after(Millis delay, std::function<void()> work) {
  const TimerId id = ++state_->last_timer;
  const Instant due = state_->now + std::max(delay, Millis(0));
  state_->timers.emplace(State::Key(due, id), std::move(work));
  state_->due.emplace(id, due);
  return id;
}

void VirtualScheduler::cancel(TimerId timer) {
  if (state_->closed) return;
  const auto found = state_->due.find(timer);
  if (found == state_->due.end()) return;
  state_->timers.erase(State::Key(found->second, timer));
  state_->due.erase(found);
}

Instant VirtualScheduler::now() const { return state_->now; }
std::chrono::nanoseconds VirtualScheduler::steady_now() const { return state_->now - state_->start; }

void VirtualScheduler::run_ready() {
  state_->context.restart();
  state_->context.poll();
}

bool VirtualScheduler::run_until(const std::function<bool()>& done, Millis limit) {
  const Instant end = state_->now + limit;
  run_ready();
  while (!done()) {
    if (state_->timers.empty() || state_->timers.begin()->first.first > end) {
      state_->now = end;
      return false;
    }
    auto first = state_->timers.extract(state_->timers.begin());
    state_->now = first.key().first;
    state_->due.erase(first.key().second);
    first.mapped()();
    run_ready();
  }
  return true;
}

void VirtualScheduler::run_for(Millis duration) {
  run_until([] { return false; }, duration);
}

void Scheduler::run_and_wait(const std::function<void()>& work) {
  std::promise<void> done;
  post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

void run_on(Scheduler& scheduler, const std::function<void()>& body) { scheduler.run_and_wait(body); }

}  // namespace fleetward::async
