#include "services/notifier/notifier.hpp"

#include "connect/alertmanager.hpp"
#include "core/fault.hpp"
#include "core/patient_clock.hpp"
#include "core/text.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/incident_repository.hpp"
#include "services/notifier/webhook_pager.hpp"

namespace fleetward::notifier {
namespace {

constexpr std::size_t batch_records = 200;
constexpr Millis poll_wait{2'000};
constexpr Millis pause_after_failure{500};
constexpr Millis look_every{5'000};
constexpr Millis post_limit{10'000};
constexpr Millis backoff_max{30'000};
constexpr std::int64_t pages_a_round = 50;
constexpr Millis prune_every = std::chrono::hours(1);
constexpr std::size_t dead_value_bytes_max = 64 * 1024;  // of a record in the dead letters; the offset says where it is

}  // namespace

struct Notifier::State {
  State(NotifierConfig c, store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m)
      : config(std::move(c)),
        store(s),
        bus(b),
        scheduler(sch),
        scope(sch, "notifier"),
        metrics(m),
        retention_clock(sch.now(), sch.steady_now()),
        delivered(
            m.counter("fleetward_notifier_pages_total", "Pages by what became of them.", {{"result", "delivered"}})),
        failed(m.counter("fleetward_notifier_pages_total", "Pages by what became of them.", {{"result", "failed"}})),
        unreadable(m.counter("fleetward_notifier_unreadable_total", "Records that went to the dead letters.")) {}

  // What a batch of records says, by kind.
  struct Told {
    std::vector<fleet::ActionEvent> actions;
    std::vector<fleet::GovernorEvent> governor;
  };
  static Status read(const bus::Record& record, Told& told) {
    const auto envelope = record.value
                              ? fleet::parse_cloud_event(*record.value)
                              : Result<fleet::CloudEvent>(ErrorCode::invalid_argument, "the record has no value");
    if (!envelope) return envelope.error();
    if (envelope->type == fleet::event_type::governor) {
      auto event = fleet::governor_event_from_json(envelope->data);
      if (!event) return event.error();
      told.governor.push_back(std::move(*event));
      return {};
    }
    auto event = fleet::action_event_from_json(envelope->data);
    if (!event) return event.error();
    told.actions.push_back(std::move(*event));
    return {};
  }

  // What cannot be read goes to the dead letters, in the order in which offsets are committed: after it.
  bus::OutRecord dead_letter(const bus::Record& record, const Error& error) {
    log::error("bad_record", {{"topic", record.topic}, {"offset", record.offset}, {"error", error.message}});
    unreadable.add();
    const std::string value = record.value.value_or("").substr(0, dead_value_bytes_max);
    return {std::string(fleet::topic::dead_letters),
            std::string(fleet::topic::actions),
            json::dump({{"topic", record.topic},
                        {"partition", record.partition},
                        {"offset", record.offset},
                        {"reason", error.message},
                        {"key", record.key},
                        {"valueBase64", to_base64(as_bytes(value))}}),
            {},
            std::nullopt};
  }

  async::Task<Status> fold_batch(const std::vector<bus::Record>& records) {
    Told told;
    std::vector<bus::OutRecord> letters;
    for (const bus::Record& r : records) {
      if (const Status good = read(r, told); !good) letters.push_back(dead_letter(r, good.error()));
    }
    const Instant now = scheduler.now();
    std::function<Status(store::Transaction&)> work = [&told, now](store::Transaction& tx) -> Status {
      if (const Status folded = repository::fold_actions(tx, told.actions, now); !folded) return folded;
      return repository::fold_governor(tx, told.governor, now);
    };
    const Status done = co_await store::transact(store, scheduler, work);
    if (!done || letters.empty()) co_return done;
    const auto buried = co_await bus::append(bus, scheduler, std::move(letters));
    co_return buried.ok() ? Status() : Status(buried.error());
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

  // `wait`: how long the receiver is to be left alone, when it says so.
  async::Task<Status> deliver(const connect::Alertmanager& receiver, fleet::Incident incident, Millis& wait) {
    const Instant now = scheduler.now();
    const std::string link = config.link_base.empty() ? "" : config.link_base + incident.id;
    connect::Alert alert{incident, incident.open ? config.alert_lifetime : Millis(0), link};
    const connect::AlertOutcome outcome = co_await receiver.post(scheduler, std::move(alert), post_limit);
    const Status& posted = outcome.status;
    wait = outcome.retry_after.value_or(Millis(0));
    show_failing(metrics, receiver.url(), !posted);
    (posted.ok() ? delivered : failed).add();
    if (!posted && is_retryable(posted.error().code)) co_return posted;
    // Refused for good: told, and sent again only when the incident changes or is to be kept alive.
    if (!posted) {
      log::error("page_refused",
                 {{"receiver", receiver.url()}, {"incident", incident.id}, {"error", posted.error().message}});
    } else {
      fault::crash_here("notifier.after_post");
    }
    const std::string& url = receiver.url();
    std::function<Status(store::Transaction&)> note = [&incident, &url, now](store::Transaction& tx) {
      return repository::note_page(tx, incident, url, now);
    };
    const Status noted = co_await store::transact(store, scheduler, note);
    co_return noted;
  }

  // One round of what is due at a receiver: how many that were, all of them delivered.
  async::Task<Result<std::size_t>> page_round(const connect::Alertmanager& receiver, Millis& wait) {
    const Instant now = scheduler.now();
    const Millis refresh = config.refresh;
    const std::string& url = receiver.url();
    std::function<Result<std::vector<fleet::Incident>>(store::Transaction&)> due_now =
        [&url, now, refresh](store::Transaction& tx) {
          return repository::due_pages(tx, url, now, refresh, pages_a_round);
        };
    const auto due = co_await store::transact<std::vector<fleet::Incident>>(store, scheduler, due_now);
    if (!due) co_return due.error();
    for (const fleet::Incident& incident : *due) {
      if (scope.stopping()) break;
      const Status done = co_await deliver(receiver, incident, wait);
      if (!done) co_return done.error();
    }
    co_return due->size();
  }

  async::Task<void> page(connect::Alertmanager receiver) {
    const std::unique_ptr<store::Listener> changed =
        store.listen(scheduler, std::string(repository::incidents_channel));
    listeners.push_back(changed.get());
    Millis pause = pause_after_failure;
    while (!scope.stopping()) {
      Millis asked{0};
      const Result<std::size_t> done = co_await page_round(receiver, asked);
      if (!done) {
        const Millis rest = std::max(pause, asked);
        log::warn("page_failed",
                  {{"receiver", receiver.url()}, {"error", done.error().message}, {"retry_in", to_human(rest)}});
        co_await scope.sleep(rest);
        pause = std::min(pause * 2, backoff_max);
        continue;
      }
      pause = pause_after_failure;
      const bool there_may_be_more = *done == static_cast<std::size_t>(pages_a_round);
      if (scope.stopping() || there_may_be_more) continue;
      const Millis wait = std::min(look_every, config.refresh);
      co_await changed->wait(wait);
    }
    std::erase(listeners, changed.get());
  }

  async::Task<void> prune() {
    while (!scope.stopping()) {
      const Instant now = retention_clock.at(scheduler.now(), scheduler.steady_now());
      std::function<Result<std::int64_t>(store::Transaction&)> work = [now](store::Transaction& tx) {
        return repository::prune_incidents(tx, now);
      };
      const auto removed = co_await store::transact<std::int64_t>(store, scheduler, work);
      if (!removed) log::warn("prune_failed", {{"error", removed.error().message}});
      co_await scope.sleep(prune_every);
    }
  }

  NotifierConfig config;
  store::Store& store;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  async::Scope scope;
  metrics::Registry& metrics;
  PatientClock retention_clock;
  metrics::Counter& delivered;
  metrics::Counter& failed;
  metrics::Counter& unreadable;
  std::unique_ptr<bus::Consumer> actions;
  std::vector<store::Listener*> listeners;
  std::vector<std::unique_ptr<WebhookPager>> webhooks;
};

Notifier::Notifier(NotifierConfig config, store::Store& store, bus::Bus& bus, async::Scheduler& scheduler,
                   metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(config), store, bus, scheduler, metrics)) {}
Notifier::~Notifier() = default;

Status Notifier::start() {
  std::vector<connect::Alertmanager> receivers;
  for (const std::string& url : state_->config.alertmanagers) {
    auto receiver = connect::Alertmanager::open(url, state_->config.alertmanager_ca_pem);
    if (!receiver) return receiver.error().with_context("notifier");
    receivers.push_back(std::move(*receiver));
  }
  std::vector<connect::Webhook> webhooks;
  for (const connect::WebhookConfig& config : state_->config.webhooks) {
    auto receiver = connect::Webhook::open(config);
    if (!receiver) return receiver.error().with_context("notifier");
    webhooks.push_back(std::move(*receiver));
  }
  Status started;
  async::run_on(state_->scheduler, [&] {
    State* state = state_.get();
    auto consumer = state->bus.subscribe(state->scheduler,
                                         {"notifier", std::string(fleet::topic::actions), state->config.instance});
    if (!consumer) {
      started = consumer.error();
      return;
    }
    state->actions = std::move(*consumer);
    state->scope.spawn("consume", state->consume());
    state->scope.spawn("prune", state->prune());
    for (const auto& receiver : receivers) state->scope.spawn("page", state->page(receiver));
    for (connect::Webhook& receiver : webhooks) {
      state->webhooks.push_back(
          std::make_unique<WebhookPager>(std::move(receiver), WebhookPagerConfig{.link_base = state->config.link_base},
                                         state->store, state->scheduler, state->scope, state->metrics));
      state->scope.spawn("webhook", state->webhooks.back()->run());
    }
  });
  return started;
}

void Notifier::stop(Millis limit) {
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->scope.request_stop();
    if (state->actions) state->actions->wake();
    for (store::Listener* l : state->listeners) l->wake();
    for (const auto& webhook : state->webhooks) webhook->wake();
  });
  // What goes on still uses what is below.
  if (!state_->scope.join(limit)) return log::error("notifier_did_not_stop", {});
  async::run_on(state_->scheduler, [this] {
    state_->actions.reset();
    state_->webhooks.clear();
  });
}

}  // namespace fleetward::notifier
