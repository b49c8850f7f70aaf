#include "services/collector/collector.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/fault.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "repository/dead_letter_repository.hpp"
#include "services/collector/sources.hpp"

namespace fleetward::collector {
namespace {

constexpr Millis start_failure_limit{5'000};
constexpr Millis look_for_replays_every{2'000};
constexpr std::int64_t replays_at_once = 20;

}  // namespace

struct Collector::State {
  State(CollectorConfig c, bus::Bus& b, store::Store& st, async::Scheduler& s, metrics::Registry& m,
        crypto::Random& random)
      : config(std::move(c)),
        bus(b),
        store(st),
        scheduler(s),
        scope(s, "collector"),
        asked(st.listen(s, std::string(repository::replays_channel))),
        things(st, s),
        around{config.instance, b, s, scope, m, things},
        start_number(to_ms(s.now())) {
    for (MqttSourceConfig& source : config.mqtt) sources.push_back(make_mqtt_source(std::move(source), around, random));
    for (KafkaSourceConfig& source : config.kafka) sources.push_back(make_kafka_source(std::move(source), around));
  }

  [[nodiscard]] std::vector<bus::OutRecord> sign_of_life(bool stopping) const {
    fleet::GatewayHeartbeat h;
    h.instance = config.instance;
    h.start_number = start_number;
    h.collector = true;
    h.stopping = stopping;
    h.time = scheduler.now();
    h.lease_end = h.time + config.lease;
    const fleet::CloudEvent event{fmt::format("{}.{}.{}", config.instance, start_number, to_ms(h.time)),
                                  "/fleetward/collector",
                                  std::string(fleet::event_type::gateway),
                                  config.instance,
                                  h.time,
                                  to_json(h)};
    std::vector<bus::OutRecord> records;
    records.push_back({std::string(fleet::topic::gateways), config.instance, to_json_text(event), {}, std::nullopt});
    return records;
  }

  // One at a time: while the bus takes nothing they do not pile up.
  async::Task<void> beat() {
    while (!scope.stopping()) {
      const auto said = co_await bus::append(bus, scheduler, sign_of_life(false));
      if (!said) log::warn("collector_heartbeat_failed", {{"error", said.error().message}});
      co_await scope.sleep(config.heartbeat_every);
    }
    const auto said = co_await bus::append(bus, scheduler, sign_of_life(true));
    if (!said) log::warn("collector_heartbeat_failed", {{"error", said.error().message}});
  }

  // What people asked for: of the sources that are ours, one after the other.
  async::Task<void> replay_all() {
    while (!scope.stopping()) {
      const auto waiting = co_await waiting_letters();
      if (!waiting) log::warn("replays_not_read", {{"error", waiting.error().message}});
      bool goes_on = waiting.ok() && !waiting->empty();
      for (std::size_t i = 0; goes_on && i < waiting->size(); ++i) {
        goes_on = co_await replay((*waiting)[i].letter);
      }
      if (!goes_on) co_await asked->wait(look_for_replays_every);
    }
  }

  async::Task<Result<std::vector<repository::StoredLetter>>> waiting_letters() {
    std::vector<std::string> names;
    for (const auto& source : sources) names.push_back(source->delivery().name().text());
    std::function<Result<std::vector<repository::StoredLetter>>(store::Transaction&)> work =
        [&names](store::Transaction& tx) { return repository::waiting_replays(tx, names, replays_at_once); };
    Result<std::vector<repository::StoredLetter>> waiting =
        co_await store::transact<std::vector<repository::StoredLetter>>(store, scheduler, work);
    co_return waiting;
  }

  // False: it is to be tried again later.
  async::Task<bool> replay(const fleet::DeadLetter& letter) {
    const auto source = std::find_if(sources.begin(), sources.end(), [&letter](const auto& one) {
      return one->delivery().name().text() == letter.source;
    });
    const std::optional<Delivery::Replayed> done = co_await (*source)->delivery().replay(letter);
    if (!done) co_return false;
    fault::crash_here("collector.before_replay_noted");
    const Instant now = scheduler.now();
    std::function<Status(store::Transaction&)> work = [&](store::Transaction& tx) {
      return repository::note_replay(tx, letter.id, done->state, done->why, now);
    };
    const Status noted = co_await store::transact(store, scheduler, work);
    // Replayed again then, and found to be a repeat.
    if (!noted) log::warn("replay_not_noted", {{"letter", letter.id}, {"error", noted.error().message}});
    co_return noted.ok();
  }

  CollectorConfig config;
  bus::Bus& bus;
  store::Store& store;
  async::Scheduler& scheduler;
  async::Scope scope;
  std::unique_ptr<store::Listener> asked;
  ThingBook things;
  Surroundings around;
  std::int64_t start_number;
  std::vector<std::shared_ptr<Source>> sources;
};

Collector::Collector(CollectorConfig config, bus::Bus& bus, store::Store& store, async::Scheduler& scheduler,
                     metrics::Registry& metrics, crypto::Random& random)
    : state_(std::make_shared<State>(std::move(config), bus, store, scheduler, metrics, random)) {}

Collector::~Collector() = default;

Status Collector::start() {
  Status started;
  async::run_on(state_->scheduler, [this, &started] {
    for (const auto& source : state_->sources) {
      started = source->start();
      if (!started) return;
    }
    state_->scope.spawn("heartbeat", state_->beat());
    state_->scope.spawn("replays", state_->replay_all());
  });
  if (!started) stop(start_failure_limit);
  return started;
}

void Collector::stop(Millis limit) {
  state_->scope.request_stop();
  state_->scheduler.post([state = state_] {
    state->asked->wake();
    for (const auto& source : state->sources) source->wake();
  });
  if (!state_->scope.join(limit)) log::error("collector_stop_timed_out");
  async::run_on(state_->scheduler, [this] {
    for (const auto& source : state_->sources) source->close();
  });
}

Status Collector::ready() const {
  for (const auto& source : state_->sources) {
    if (const Status ready = source->ready(); !ready) return ready;
  }
  return {};
}

}  // namespace fleetward::collector
