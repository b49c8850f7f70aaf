#include "services/responder/responder.hpp"

#include "core/fault.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/effects.hpp"
#include "repository/refused_records.hpp"
#include "services/responder/state.hpp"

namespace fleetward::responder {
namespace {

constexpr std::size_t batch_records = 200;
constexpr Millis poll_wait{2'000};
constexpr Millis pause_after_failure{500};
constexpr Millis effects_kept = std::chrono::hours(24 * 35);  // longer than violations stay on their topic
const std::string effects_of = "responder";

int severity_rank(const repository::Policy& policy, const fleet::ViolationEvent& v) {
  // Last, whatever else: the end of an alarm must not come before its begin.
  if (v.type != fleet::ViolationEventType::in_alarm) return 4;
  const respond::PlaybookEntry* entry = respond::find_entry(policy.playbook, v);
  if (entry == nullptr) return 3;
  return entry->severity == "critical" ? 0 : entry->severity == "error" ? 1 : 2;
}

void bad_record(const bus::Record& r, const Error& error) {
  log::error("bad_record",
             {{"topic", r.topic}, {"partition", r.partition}, {"offset", r.offset}, {"error", error.message}});
}

template <class T>
std::vector<T> parse_all(const std::vector<bus::Record>& records, Result<T> (*parse)(const json::Value&)) {
  std::vector<T> out;
  for (const bus::Record& r : records) {
    const auto event = r.value ? fleet::parse_cloud_event(*r.value)
                               : Result<fleet::CloudEvent>(ErrorCode::invalid_argument, "no value");
    auto parsed = event.ok() ? parse(event->data) : Result<T>(event.error());
    if (parsed) out.push_back(std::move(*parsed));
    else bad_record(r, parsed.error());
  }
  return out;
}

// What gateways say they refused, taken out of `records`.
std::vector<fleet::RefusedRecord> take_refused(std::vector<bus::Record>& records) {
  std::vector<fleet::RefusedRecord> out;
  std::erase_if(records, [&out](const bus::Record& r) {
    const auto event = r.value ? fleet::parse_cloud_event(*r.value)
                               : Result<fleet::CloudEvent>(ErrorCode::invalid_argument, "no value");
    if (!event || event->type != fleet::event_type::refused_record) return false;
    auto parsed = fleet::refused_record_from_json(event->data);
    if (parsed) out.push_back(std::move(*parsed));
    else bad_record(r, parsed.error());
    return true;
  });
  return out;
}

std::vector<bus::Position> next_offsets(const std::vector<bus::Record>& records) {
  std::map<std::int32_t, std::int64_t> next;
  for (const bus::Record& r : records) next[r.partition] = std::max(next[r.partition], r.offset + 1);
  std::vector<bus::Position> out;
  for (const auto& [partition, offset] : next) out.push_back({partition, offset});
  return out;
}

}  // namespace

Responder::State::State(ResponderConfig c, store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m)
    : config(std::move(c)),
      policy(std::make_shared<const repository::Policy>(config.policy)),
      store(s),
      bus(b),
      scheduler(sch),
      registry(m),
      scope(sch, "responder"),
      lease_clock(sch.now(), sch.steady_now()),
      wake(s.listen(sch, std::string(repository::actions_channel))),
      test_wake(sch),
      decisions(m.counter("fleetward_responder_violations_total", "Violation events that were decided on.")),
      foreign(m.counter("fleetward_responder_foreign_violations_total",
                        "Violations of things that are deleted, or were made anew under the name: nothing is done.")),
      stop_switch(m.gauge("fleetward_responder_stop_switch", "1 while automatic action is stopped.")),
      verified(m.counter("fleetward_responder_verified_total", "Actions proven to be in effect.")),
      failed(m.counter("fleetward_responder_failed_total", "Actions that were not proven in time.")),
      put_off_total(m.counter("fleetward_responder_waiting_total",
                              "Actions whose proof was put off: a silent gateway may still let the thing in.")),
      drifted(m.counter("fleetward_responder_drifted_total",
                        "Proven actions that were found not to hold any more, and were put in force again.")),
      looked(m.counter("fleetward_responder_looked_again_total", "Proven actions that were looked at again.")),
      time_to_cut(m.histogram("fleetward_responder_received_to_enforced_seconds",
                              "From the report's arrival to the gateway's enforcement.", metrics::latency_bounds())) {}

void Responder::State::on_gateway(const bus::Record& record) {
  for (auto& h : parse_all<fleet::GatewayHeartbeat>({record}, fleet::gateway_heartbeat_from_json)) {
    if (!gateways.note(std::move(h), scheduler.now())) continue;
    wake->wake();  // an action may have waited for it
    test_wake.notify();
  }
}

async::Task<Status> Responder::State::decide_batch(const std::vector<bus::Record>& records) {
  auto events = parse_all<fleet::ViolationEvent>(records, fleet::violation_event_from_json);
  // Severest first, then by thing: locks are taken in one order.
  const Instant now = scheduler.now();
  lease_clock.at(now, scheduler.steady_now());
  repository::Policy current = *policy_now();
  current.clock_behind = lease_clock.behind(now);
  const auto by = std::make_shared<const repository::Policy>(std::move(current));
  std::stable_sort(events.begin(), events.end(), [&by](const auto& a, const auto& b) {
    return std::pair(severity_rank(*by, a), std::string_view(a.thing)) <
           std::pair(severity_rank(*by, b), std::string_view(b.thing));
  });
  std::vector<const fleet::ViolationEvent*> strangers;
  std::function<Status(store::Transaction&)> work = [&events, &strangers, by, now](store::Transaction& tx) -> Status {
    strangers.clear();
    for (const fleet::ViolationEvent& event : events) {
      const auto first = repository::first_time(tx, effects_of, fleet::event_id(event), now);
      if (!first) return first.error();
      if (!*first) continue;
      const auto decided = repository::decide(tx, *by, event, now);
      if (!decided) return decided.error();
      if (decided->foreign) strangers.push_back(&event);
    }
    return {};
  };
  const Status done = co_await store::transact(store, scheduler, work);
  if (!done) co_return done;
  decisions.add(events.size());
  foreign.add(strangers.size());
  for (const fleet::ViolationEvent* e : strangers)
    log::warn("violation_of_no_thing",
              {{"thing", e->thing}, {"thing_id", e->thing_id}, {"violation", e->violation_id}});
  co_return done;
}

async::Task<void> Responder::State::consume_violations() {
  while (!scope.stopping()) {
    const auto some = co_await violations->poll(batch_records, poll_wait);
    if (!some) {
      log::error("violations_poll_failed", {{"error", some.error().message}});
      co_await scope.sleep(pause_after_failure);
      continue;
    }
    ready = true;
    if (some->records.empty()) continue;
    Status done = co_await decide_batch(some->records);
    while (!done && !scope.stopping()) {
      log::error("decision_failed", {{"error", done.error().message}});
      co_await scope.sleep(pause_after_failure);
      done = co_await decide_batch(some->records);
    }
    if (!done) co_return;
    fault::crash_here("responder.after_decision");
    const Status committed = co_await violations->commit(next_offsets(some->records));
    if (!committed) log::warn("violations_commit_failed", {{"error", committed.error().message}});
  }
}

async::Task<Status> Responder::State::note_batch(std::vector<bus::Record> records) {
  const auto refused = take_refused(records);
  const auto events = parse_all<fleet::EnforcementEvent>(records, fleet::enforcement_event_from_json);
  const Instant now = scheduler.now();
  std::function<Status(store::Transaction&)> work = [&events, &refused, now](store::Transaction& tx) -> Status {
    for (const fleet::RefusedRecord& r : refused) {
      const auto first = repository::first_time(tx, effects_of, r.id, now);
      if (!first) return first.error();
      if (!*first) continue;
      if (const Status noted = repository::note_refused_record(tx, r, now); !noted) return noted;
    }
    for (const fleet::EnforcementEvent& e : events) {
      if (e.kind == fleet::EnforcementKind::connect_refused || e.kind == fleet::EnforcementKind::would_refuse ||
          e.access_version == 0 || !e.level)
        continue;
      const auto first = repository::first_time(tx, effects_of, e.id, now);
      if (!first) return first.error();
      if (!*first) continue;
      const bool good = e.sessions_left == 0 && e.kind != fleet::EnforcementKind::would_cut;
      const std::string text = e.kind == fleet::EnforcementKind::session_cut ? "the live session was cut"
                               : e.kind == fleet::EnforcementKind::would_cut
                                   ? "the gateway observes only: the session was left alone"
                               : good ? "the hold is in force, there was no session"
                                      : "the hold is in force, a session was left open";
      const Status noted =
          repository::note_enforced(tx, e.thing, e.access_version, {e.time, "gateway", e.gateway, good, text}, now);
      if (!noted) return noted;
    }
    return {};
  };
  const Status done = co_await store::transact(store, scheduler, work);
  co_return done;
}

async::Task<void> Responder::State::consume_enforcement() {
  while (!scope.stopping()) {
    const auto some = co_await enforcement->poll(batch_records, poll_wait);
    if (!some) {
      log::error("enforcement_poll_failed", {{"error", some.error().message}});
      co_await scope.sleep(pause_after_failure);
      continue;
    }
    if (some->records.empty()) continue;
    Status done = co_await note_batch(some->records);
    while (!done && !scope.stopping()) {
      log::error("enforcement_failed", {{"error", done.error().message}});
      co_await scope.sleep(pause_after_failure);
      done = co_await note_batch(some->records);
    }
    if (!done) co_return;
    const Status committed = co_await enforcement->commit(next_offsets(some->records));
    if (!committed) log::warn("enforcement_commit_failed", {{"error", committed.error().message}});
  }
}

async::Task<void> Responder::State::keep_leases() {
  while (true) {
    const bool whole = co_await scope.sleep(config.leases_every);
    if (!whole) co_return;
    const Instant now = lease_clock.at(scheduler.now(), scheduler.steady_now());
    std::function<Status(store::Transaction&)> work = [now](store::Transaction& tx) -> Status {
      if (const Status ended = repository::end_leases(tx, effects_of, now); !ended) return ended;
      const auto pruned = repository::prune_effects(tx, effects_of, now, effects_kept);
      return pruned.ok() ? Status() : Status(pruned.error());
    };
    const Status done = co_await store::transact(store, scheduler, work);
    if (!done) log::error("leases_failed", {{"error", done.error().message}});
  }
}

Responder::Responder(ResponderConfig config, store::Store& store, bus::Bus& bus, async::Scheduler& scheduler,
                     metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(config), store, bus, scheduler, metrics)) {}
Responder::~Responder() = default;

Status Responder::start() {
  Status started;
  async::run_on(state_->scheduler, [&] {
    State* state = state_.get();
    const auto subscribe = [state](std::string group, std::string_view topic) {
      return state->bus.subscribe(state->scheduler, {std::move(group), std::string(topic), state->config.instance});
    };
    auto violations = subscribe("responder", fleet::topic::violations);
    auto enforcement = subscribe("responder-enforcement", fleet::topic::enforcement);
    if (!violations || !enforcement) {
      started = violations ? enforcement.error() : violations.error();
      return;
    }
    state->violations = std::move(*violations);
    state->enforcement = std::move(*enforcement);
    state->gateways_follower = std::make_unique<bus::TableFollower>(
        state->bus, state->scheduler, std::string(fleet::topic::gateways), std::string(fleet::header::version),
        bus::TableFollower::Callbacks{[state](const bus::Record& r) { state->on_gateway(r); },
                                      {},
                                      [](const Error& e) {
                                        log::error("table_read_failed", {{"error", e.message}});
                                      },
                                      {}});
    state->scope.spawn("gateways", state->gateways_follower->run(state->scope));
    state->scope.spawn("violations", state->consume_violations());
    state->scope.spawn("enforcement", state->consume_enforcement());
    state->scope.spawn("leases", state->keep_leases());
    state->scope.spawn("governor", state->keep_governor());
    state->scope.spawn("actions", state->watch_actions());
    state->scope.spawn("self_tests", state->test_gateways());
  });
  return started;
}

void Responder::stop(Millis limit) {
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->scope.request_stop();
    state->gateways_follower->wake();
    state->violations->wake();
    state->enforcement->wake();
    state->wake->wake();
    state->test_wake.notify();
  });
  // What goes on still uses what is below.
  if (!state_->scope.join(limit)) return log::error("responder_did_not_stop", {});
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->violations.reset();
    state->enforcement.reset();
    state->gateways_follower.reset();
  });
}

void Responder::set_playbook(respond::Playbook playbook) {
  async::run_on(state_->scheduler, [this, &playbook] {
    repository::Policy changed = *state_->policy;
    changed.playbook = std::move(playbook);
    state_->policy = std::make_shared<const repository::Policy>(std::move(changed));
  });
}

Status Responder::ready() const {
  return state_->ready ? Status() : Status(Error(ErrorCode::unavailable, "no violations were read yet"));
}

}  // namespace fleetward::responder
