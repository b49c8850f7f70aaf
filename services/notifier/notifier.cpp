#include "services/notifier/notifier.hpp"

#include "connect/alertmanager.hpp"
#include "core/fault.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/effects.hpp"
#include "repository/incident_repository.hpp"

namespace fleetward::notifier {
namespace {

constexpr std::size_t batch_records = 200;
constexpr Millis poll_wait{2'000};
constexpr Millis pause_after_failure{500};
constexpr Millis look_every{5'000};
constexpr Millis post_limit{10'000};
constexpr Millis backoff_max{30'000};
constexpr std::int64_t pages_a_round = 50;
const std::string effects_of = "notifier";

}  // namespace

struct Notifier::State {
  State(NotifierConfig c, store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m)
      : config(std::move(c)), store(s), bus(b), scheduler(sch), registry(m), scope(sch, "notifier") {}

  async::Task<Status> fold_batch(const std::vector<bus::Record>& records) {
    std::vector<fleet::ActionEvent> events;
    for (const bus::Record& r : records) {
      const auto envelope = r.value ? fleet::parse_cloud_event(*r.value) : Result<fleet::CloudEvent>(ErrorCode::invalid_argument, "no value");
      auto event = envelope.ok() ? fleet::action_event_from_json(envelope->data) : Result<fleet::ActionEvent>(envelope.error());
      if (event) events.push_back(std::move(*event));
      else log::error("bad_record", {{"topic", r.topic}, {"offset", r.offset}, {"error", event.error().message}});
    }
    const Instant now = scheduler.now();
    std::function<Status(store::Transaction&)> work = [&events, now](store::Transaction& tx) -> Status {
      for (const fleet::ActionEvent& event : events) {
        const auto first = repository::first_time(tx, effects_of, event.id, now);
        if (!first) return first.error();
        if (!*first) continue;
        if (const Status folded = repository::fold_action(tx, event.action, now); !folded) return folded;
      }
      return {};
    };
    const Status done = co_await store::transact(store, scheduler, work);
    co_return done;
  }

  async::Task<void> consume() {
    while (!scope.stopping()) {
      const auto some = co_await actions->poll(batch_records, poll_wait);
      if (!some) {
        log::error("actions_poll_failed", {{"error", some.error().message}});
        co_await scope.sleep(pause_after_failure);
        continue;
      }
      if (some->records.empty()) continue;
      Status done = co_await fold_batch(some->records);
      while (!done && !scope.stopping()) {
        log::error("incident_failed", {{"error", done.error().message}});
        co_await scope.sleep(pause_after_failure);
        done = co_await fold_batch(some->records);
      }
      if (!done) co_return;
      std::map<std::int32_t, std::int64_t> next;
      for (const bus::Record& r : some->records) next[r.partition] = std::max(next[r.partition], r.offset + 1);
      std::vector<bus::Position> offsets;
      for (const auto& [partition, offset] : next) offsets.push_back({partition, offset});
      const Status committed = co_await actions->commit(std::move(offsets));
      if (!committed) log::warn("actions_commit_failed", {{"error", committed.error().message}});
    }
  }

  // One round of what is due at a receiver. Good: everything that was due is there.
  async::Task<Status> page_round(std::string receiver) {
    const Instant refresh_before = scheduler.now() - config.refresh;
    std::function<Result<std::vector<fleet::Incident>>(store::Transaction&)> read = [receiver, refresh_before](store::Transaction& tx) {
      return repository::due_pages(tx, receiver, refresh_before, pages_a_round);
    };
    const auto due = co_await store::transact<std::vector<fleet::Incident>>(store, scheduler, read);
    if (!due) co_return due.error();
    for (const fleet::Incident& incident : *due) {
      const Instant now = scheduler.now();
      const std::string link = config.link_base.empty() ? "" : config.link_base + incident.id;
      connect::Alert alert{incident, incident.open ? now + config.alert_lifetime : now, link};
      const Status posted = co_await connect::post_alert(scheduler, receiver, std::move(alert), post_limit);
      registry.counter("fleetward_notifier_pages_total", "Pages by what became of them.", {{"result", posted.ok() ? "delivered" : "failed"}}).add();
      if (!posted && is_retryable(posted.error().code)) co_return posted;
      if (!posted) log::error("page_refused", {{"receiver", receiver}, {"incident", incident.id}, {"error", posted.error().message}});
      fault::crash_here("notifier.after_post");
      std::function<Status(store::Transaction&)> note = [&incident, receiver, now](store::Transaction& tx) { return repository::note_page(tx, incident, receiver, now); };
      const Status noted = co_await store::transact(store, scheduler, note);
      if (!noted) co_return noted;
    }
    co_return Status();
  }

  async::Task<void> page(std::string receiver) {
    const std::unique_ptr<store::Listener> changed = store.listen(scheduler, std::string(repository::incidents_channel));
    listeners.push_back(changed.get());
    Millis pause = pause_after_failure;
    while (!scope.stopping()) {
      const Status done = co_await page_round(receiver);
      if (!done) {
        log::warn("page_failed", {{"receiver", receiver}, {"error", done.error().message}, {"retry_in", to_human(pause)}});
        co_await scope.sleep(pause);
        pause = std::min(pause * 2, backoff_max);
        continue;
      }
      pause = pause_after_failure;
      if (scope.stopping()) break;
      co_await changed->wait(look_every);
    }
    std::erase(listeners, changed.get());
  }

  NotifierConfig config;
  store::Store& store;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  metrics::Registry& registry;
  async::Scope scope;
  std::unique_ptr<bus::Consumer> actions;
  std::vector<store::Listener*> listeners;
};

Notifier::Notifier(NotifierConfig config, store::Store& store, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(config), store, bus, scheduler, metrics)) {}
Notifier::~Notifier() = default;

Status Notifier::start() {
  Status started;
  async::run_on(state_->scheduler, [&] {
    State* state = state_.get();
    auto consumer = state->bus.subscribe(state->scheduler, {"notifier", std::string(fleet::topic::actions), state->config.instance});
    if (!consumer) {
      started = consumer.error();
      return;
    }
    state->actions = std::move(*consumer);
    state->scope.spawn("consume", state->consume());
    for (const std::string& url : state->config.alertmanagers) state->scope.spawn("page", state->page(url));
  });
  return started;
}

void Notifier::stop(Millis limit) {
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->scope.request_stop();
    state->actions->wake();
    for (store::Listener* l : state->listeners) l->wake();
  });
  if (!state_->scope.join(limit)) log::error("notifier_did_not_stop", {});
  async::run_on(state_->scheduler, [this] { state_->actions.reset(); });
}

}  // namespace fleetward::notifier
