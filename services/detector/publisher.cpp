#include "services/detector/publisher.hpp"

#include "core/fault.hpp"
#include "log/log.hpp"
#include "services/detector/records.hpp"

namespace fleetward::detector {
namespace {

constexpr std::size_t batch_records = 500;
constexpr Millis retry_pause{200};

}  // namespace

struct ViolationPublisher::State {
  State(bus::Bus& b, async::Scheduler& s, metrics::Registry& metrics)
      : bus(b),
        scheduler(s),
        idle(s),
        published(metrics.counter("fleetward_detector_violations_published_total",
                                  "Violation events that are durable on the bus, repeats after a crash included")),
        failures(metrics.counter("fleetward_detector_publish_failures_total",
                                 "Appends of violations that failed and are tried again")),
        latency(metrics.histogram("fleetward_detector_received_to_violation_seconds",
                                  "From the gateway taking a report to its violation being durable",
                                  metrics::latency_bounds())) {}

  bus::Bus& bus;
  async::Scheduler& scheduler;
  async::Event idle;
  std::deque<bus::OutRecord> waiting;
  std::deque<Instant> received;
  bool in_flight = false;
  metrics::Counter& published;
  metrics::Counter& failures;
  metrics::Histogram& latency;
};

ViolationPublisher::ViolationPublisher(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : state_(std::make_shared<State>(bus, scheduler, metrics)) {}

void ViolationPublisher::add(const std::vector<fleet::ViolationEvent>& events) {
  for (const fleet::ViolationEvent& event : events) {
    state_->waiting.push_back(to_record(event));
    state_->received.push_back(event.received);
  }
  if (!state_->in_flight) send(state_);
}

bool ViolationPublisher::is_idle() const { return state_->waiting.empty(); }
bool ViolationPublisher::is_full() const { return state_->waiting.size() >= backlog_max; }

async::Task<bool> ViolationPublisher::wait_idle(Millis limit) {
  const auto until = state_->scheduler.steady_now() + limit;
  while (!is_idle()) {
    const auto left = std::chrono::duration_cast<Millis>(until - state_->scheduler.steady_now());
    if (left <= Millis(0)) co_return false;
    co_await state_->idle.wait(left);
  }
  co_return true;
}

// Records stay in `waiting` until they are durable. One batch is under way at a time, which keeps their order.
void ViolationPublisher::send(const std::shared_ptr<State>& state) {
  if (state->waiting.empty()) return;
  const std::size_t count = std::min(batch_records, state->waiting.size());
  std::vector<bus::OutRecord> batch(state->waiting.begin(),
                                    state->waiting.begin() + static_cast<std::ptrdiff_t>(count));
  state->in_flight = true;
  state->bus.append(std::move(batch), [state, count](const Result<std::vector<bus::Position>>& done) {
    if (done) fault::crash_here("detector.after_violation");
    const Status status = done ? Status() : Status(done.error());
    state->scheduler.post([state, count, status] {
      state->in_flight = false;
      if (!status) {
        state->failures.add();
        log::warn("violations_not_published", {{"error", status.error().message}, {"records", count}});
        state->in_flight = true;  // until the pause is over
        state->scheduler.call_after(retry_pause, [state] {
          state->in_flight = false;
          send(state);
        });
        return;
      }
      const Instant now = state->scheduler.now();
      for (std::size_t i = 0; i < count; ++i) {
        state->latency.observe(static_cast<double>((now - state->received.front()).count()) / 1000.0);
        state->received.pop_front();
        state->waiting.pop_front();
      }
      state->published.add(count);
      if (state->waiting.empty()) state->idle.notify();
      else send(state);
    });
  });
}

}  // namespace fleetward::detector
