#include "services/historian/historian.hpp"

#include <atomic>

#include "fleet/cloud_event.hpp"
#include "fleet/dead_letter.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/violation_repository.hpp"
#include "services/historian/letters.hpp"

namespace fleetward::historian {
namespace {

constexpr Millis retry_pause{500};
constexpr Millis poll_wait{1'000};
constexpr Millis start_failure_limit{5'000};

Result<fleet::ViolationEvent> read(const bus::Record& record) {
  if (!record.value) return Error(ErrorCode::invalid_argument, "the record has no value");
  const auto event = fleet::parse_cloud_event(*record.value);
  if (!event) return event.error();
  return fleet::violation_event_from_json(event->data);
}

}  // namespace

struct Historian::State {
  State(HistorianSettings s, bus::Bus& b, store::Store& st, async::Scheduler& sch, metrics::Registry& m)
      : settings(std::move(s)),
        bus(b),
        store(st),
        scheduler(sch),
        scope(sch, "historian"),
        letter_keeper(settings, b, st, sch, scope, m),
        recorded(m.counter("fleetward_historian_events_total", "Violation events read", {{"result", "recorded"}})),
        repeated(m.counter("fleetward_historian_events_total", "Violation events read", {{"result", "repeated"}})),
        refused(m.counter("fleetward_historian_events_total", "Violation events read", {{"result", "refused"}})),
        failures(
            m.counter("fleetward_historian_failures_total", "Batches that the store or the bus did not take at once")),
        pruned(m.counter("fleetward_historian_pruned_total", "Violation events removed for their age")) {}

  // Told to the dead letters; the offset is committed only after that, so it is not lost either.
  void refuse(const bus::Record& record, const Error& error) {
    log::warn("violation_refused",
              {{"partition", record.partition}, {"offset", record.offset}, {"error", error.message}});
    fleet::DeadLetter letter;
    letter.source = "topic/" + record.topic;
    letter.reason = "unreadable";
    letter.why = error.message;
    letter.topic = record.topic;
    letter.key = record.key;
    letter.partition = record.partition;
    letter.offset = record.offset;
    letter.payload = record.value.value_or("");
    letter.received = record.append_time;
    letter.id = fleet::id_of(letter);
    fleet::keep_within_limits(letter);
    const fleet::CloudEvent event{letter.id,     "/fleetward/historian", std::string(fleet::event_type::dead_letter),
                                  letter.source, record.append_time,     to_json(letter)};
    dead.push_back({std::string(fleet::topic::dead_letters),
                    letter.source,
                    to_json_text(event),
                    {{fleet::header::content_type, "application/cloudevents+json"}},
                    std::nullopt});
  }

  async::Task<Status> keep(const std::vector<fleet::ViolationEvent>& events) {
    std::function<Result<std::int64_t>(store::Transaction&)> work =
        [&events](store::Transaction& tx) -> Result<std::int64_t> {
      std::int64_t added = 0;
      for (const fleet::ViolationEvent& event : events) {
        const auto is_new = repository::record_violation_event(tx, event);
        if (!is_new) return is_new.error();
        added += *is_new ? 1 : 0;
      }
      return added;
    };
    const Result<std::int64_t> added = co_await store::transact<std::int64_t>(store, scheduler, work);
    if (!added) co_return added.error();
    recorded.add(static_cast<std::uint64_t>(*added));
    repeated.add(events.size() - static_cast<std::size_t>(*added));
    co_return Status();
  }

  async::Task<Status> bury() {
    const std::vector<bus::OutRecord> letters = dead;
    const Result<std::vector<bus::Position>> done = co_await bus::append(bus, scheduler, letters);
    if (!done) co_return done.error();
    refused.add(letters.size());
    dead.clear();
    co_return Status();
  }

  async::Task<void> pause_after(Status failed, std::string_view what) {
    failures.add();
    is_behind = true;
    log::warn("historian_retries", {{"step", what}, {"error", failed.error().message}});
    co_await scope.sleep(retry_pause);
  }

  async::Task<void> handle(const std::vector<bus::Record>& records) {
    std::vector<fleet::ViolationEvent> events;
    std::map<std::int32_t, std::int64_t> next;
    for (const bus::Record& record : records) {
      next[record.partition] = record.offset + 1;
      auto event = read(record);
      if (event) events.push_back(std::move(*event));
      else refuse(record, event.error());
    }
    bool kept = false;
    while (!kept) {
      const Status status = co_await keep(events);
      kept = status.ok();
      if (!kept) {
        co_await pause_after(status, "record");
      }
      if (!kept && scope.stopping()) co_return;  // not committed: read again by the next one
    }
    while (!dead.empty()) {
      const Status status = co_await bury();
      if (!status) {
        co_await pause_after(status, "dead-letter");
      }
      if (!status && scope.stopping()) co_return;
    }
    std::vector<bus::Position> positions;
    for (const auto& [partition, offset] : next) positions.push_back({partition, offset});
    const Status committed = co_await consumer->commit(positions);
    // Not committed: read again some day, and found to be recorded.
    if (!committed) log::warn("offsets_not_committed", {{"error", committed.error().message}});
    is_behind = false;
  }

  async::Task<void> prune() {
    prune_at = scheduler.steady_now() + settings.prune_every;
    const Instant now = scheduler.now();
    std::function<Result<std::int64_t>(store::Transaction&)> work = [now](store::Transaction& tx) {
      return repository::prune_violation_events(tx, now);
    };
    const Result<std::int64_t> removed = co_await store::transact<std::int64_t>(store, scheduler, work);
    if (removed) {
      pruned.add(static_cast<std::uint64_t>(*removed));
      if (*removed > 0) prune_at = scheduler.steady_now();  // there may be more
    } else {
      log::warn("prune_failed", {{"error", removed.error().message}});
    }
  }

  async::Task<void> run() {
    while (!scope.stopping()) {
      const Result<bus::PollResult> polled = co_await consumer->poll(settings.records_per_batch, poll_wait);
      if (!polled) {
        co_await pause_after(polled.error(), "poll");
      }
      if (polled && !polled->records.empty()) {
        co_await scope.sleep(settings.linger);
        co_await handle(polled->records);
      }
      if (scheduler.steady_now() >= prune_at) {
        co_await prune();
      }
    }
    const Status closed = co_await consumer->close();
    if (!closed) log::warn("consumer_close_failed", {{"error", closed.error().message}});
  }

  HistorianSettings settings;
  bus::Bus& bus;
  store::Store& store;
  async::Scheduler& scheduler;
  async::Scope scope;
  LetterKeeper letter_keeper;
  std::unique_ptr<bus::Consumer> consumer;
  std::vector<bus::OutRecord> dead;
  std::chrono::nanoseconds prune_at{0};
  std::atomic<bool> is_behind{false};
  metrics::Counter& recorded;
  metrics::Counter& repeated;
  metrics::Counter& refused;
  metrics::Counter& failures;
  metrics::Counter& pruned;
};

Historian::Historian(HistorianSettings settings, bus::Bus& bus, store::Store& store, async::Scheduler& scheduler,
                     metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(settings), bus, store, scheduler, metrics)) {}

Historian::~Historian() = default;

Status Historian::start() {
  bus::ConsumerOptions options;
  options.group = state_->settings.group;
  options.topic = fleet::topic::violations;
  options.member = state_->settings.member;
  auto consumer = state_->bus.subscribe(state_->scheduler, options);
  if (!consumer) return consumer.error().with_context("historian");
  state_->consumer = std::move(*consumer);
  state_->scope.spawn("record", state_->run());
  const Status letters = state_->letter_keeper.start();
  if (!letters) stop(start_failure_limit);
  return letters;
}

void Historian::stop(Millis limit) {
  state_->scope.request_stop();
  state_->scheduler.post([state = state_] {
    if (state->consumer) state->consumer->wake();
    state->letter_keeper.wake();
  });
  if (!state_->scope.join(limit)) log::error("historian_stop_timed_out");
}

Status Historian::ready() const {
  if (state_->is_behind)
    return Error(ErrorCode::unavailable, "violations are not being recorded: the store does not take them");
  if (state_->letter_keeper.is_behind())
    return Error(ErrorCode::unavailable, "dead letters are not being recorded: the store does not take them");
  return {};
}

}  // namespace fleetward::historian
