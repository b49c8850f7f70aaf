#include "simulation/universe.hpp"

#include <boost/asio/execution.hpp>

namespace fleetward::simulation {
namespace {

namespace execution = boost::asio::execution;

constexpr std::size_t history_max = 400;
constexpr std::uint64_t steps_at_one_time_max = 200'000;

// Hands what Asio wants to run to the loop's queue: so that it, too, runs when the universe says so.
class LoopExecutor {
 public:
  LoopExecutor(Loop* loop, boost::asio::execution_context* context) : loop_(loop), context_(context) {}

  [[nodiscard]] boost::asio::execution_context& query(execution::context_t) const noexcept { return *context_; }
  static constexpr execution::blocking_t query(execution::blocking_t) noexcept { return execution::blocking.never; }
  [[nodiscard]] LoopExecutor require(execution::blocking_t::never_t) const { return *this; }
  template <class Function>
  void execute(Function&& function) const {
    auto held = std::make_shared<std::decay_t<Function>>(std::forward<Function>(function));
    loop_->post([held] { std::move (*held)(); });
  }
  friend bool operator==(const LoopExecutor&, const LoopExecutor&) noexcept = default;

 private:
  Loop* loop_;
  boost::asio::execution_context* context_;
};

}  // namespace

std::uint64_t Choice::next() {
  state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

std::int64_t Choice::below(std::int64_t bound) {
  return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(std::max<std::int64_t>(bound, 1)));
}

// ---- Loop

Loop::Loop(Universe& universe, std::string name, Latency latency)
    : universe_(universe),
      name_(std::move(name)),
      latency_(std::move(latency)),
      context_(std::make_unique<boost::asio::execution_context>()) {
  universe_.loops_.push_back(this);
}

Loop::~Loop() {
  dead_ = true;
  drop_everything();
  std::erase(universe_.loops_, this);
}

async::Executor Loop::executor() { return LoopExecutor(this, context_.get()); }

void Loop::post(std::function<void()> work) {
  if (dead_) return;  // goes with what it holds
  Instant ready = universe_.now_ + (latency_ ? latency_() : Millis(0));
  if (!queue_.empty()) ready = std::max(ready, queue_.back().ready);
  queue_.push_back({ready, std::move(work)});
}

async::TimerId Loop::call_after(Millis delay, std::function<void()> work) {
  const async::TimerId id = ++last_timer_;
  if (dead_) return id;
  const Instant due = universe_.now_ + std::max(delay, Millis(0));
  timers_.emplace(TimerKey(due, id), std::move(work));
  due_.emplace(id, due);
  return id;
}

void Loop::cancel(async::TimerId timer) {
  const auto found = due_.find(timer);
  if (found == due_.end()) return;
  const auto taken = timers_.extract(TimerKey(found->second, timer));  // goes after the maps are in order again
  due_.erase(found);
}

Instant Loop::now() const { return universe_.now_ + clock_error; }
std::chrono::nanoseconds Loop::steady_now() const { return universe_.now_ - universe_.start_; }

void Loop::stand_still(Millis duration) { still_until_ = std::max(still_until_, universe_.now_ + duration); }

void Loop::drop_everything() {
  // What goes may post or cancel on the way.
  while (!queue_.empty() || !timers_.empty()) {
    const auto queue = std::exchange(queue_, {});
    const auto timers = std::exchange(timers_, {});
    due_.clear();
  }
}

std::optional<Instant> Loop::next_at() const {
  if (dead_ || (queue_.empty() && timers_.empty())) return std::nullopt;
  Instant at = queue_.empty() ? timers_.begin()->first.first : queue_.front().ready;
  if (!timers_.empty()) at = std::min(at, timers_.begin()->first.first);
  return std::max(at, still_until_);
}

void Loop::run_one(Choice& choice) {
  const bool has_work = !queue_.empty() && queue_.front().ready <= universe_.now_;
  const bool has_timer = !timers_.empty() && timers_.begin()->first.first <= universe_.now_;
  if (has_timer && (!has_work || choice.one_in(2))) {
    auto first = timers_.extract(timers_.begin());
    due_.erase(first.key().second);
    first.mapped()();
    return;
  }
  const Item item = std::move(queue_.front());
  queue_.pop_front();
  item.work();
}

// ---- Universe

void Universe::run_for(Millis duration) {
  const Instant end = now_ + duration;
  std::vector<Loop*> ready;
  while (!failed()) {
    ready.clear();
    std::optional<Instant> next;
    for (Loop* loop : loops_) {
      const auto at = loop->next_at();
      if (!at) continue;
      if (*at <= now_) ready.push_back(loop);
      else if (!next || *at < *next) next = at;
    }
    if (ready.empty()) {
      if (!next || *next > end) break;
      now_ = *next;
      steps_at_this_time_ = 0;
      continue;
    }
    ++steps_;
    if (++steps_at_this_time_ > steps_at_one_time_max) return fail("time stands still: work makes work for ever");
    Loop& loop = *ready[static_cast<std::size_t>(choice_.below(static_cast<std::int64_t>(ready.size())))];
    loop.run_one(choice_);
    if (after_each) after_each(loop);
  }
  if (!failed()) now_ = end;
}

void Universe::fail(const std::string& what) {
  if (failed()) return;
  note("FAILED: " + what);
  failure_ = fmt::format("+{:.3f} s: {}", static_cast<double>(elapsed().count()) / 1000, what);
}

void Universe::note(std::string line) {
  std::string text = fmt::format("+{:9.3f} {}", static_cast<double>(elapsed().count()) / 1000, line);
  for (const char c : text) fingerprint_ = (fingerprint_ ^ static_cast<unsigned char>(c)) * 1099511628211U;
  history_.push_back(std::move(text));
  if (history_.size() > history_max) history_.pop_front();
}

std::string Universe::history() const {
  std::string out;
  for (const std::string& line : history_) out += line + "\n";
  return out;
}

}  // namespace fleetward::simulation
