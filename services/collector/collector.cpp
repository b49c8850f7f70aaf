#include "services/collector/collector.hpp"

#include <fmt/format.h>

#include "fleet/cloud_event.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/collector/sources.hpp"

namespace fleetward::collector {
namespace {

constexpr Millis start_failure_limit{5'000};

}  // namespace

struct Collector::State {
  State(CollectorConfig c, bus::Bus& b, store::Store& st, async::Scheduler& s, metrics::Registry& m,
        crypto::Random& random)
      : config(std::move(c)),
        bus(b),
        scheduler(s),
        scope(s, "collector"),
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

  CollectorConfig config;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  async::Scope scope;
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
  });
  if (!started) stop(start_failure_limit);
  return started;
}

void Collector::stop(Millis limit) {
  state_->scope.request_stop();
  state_->scheduler.post([state = state_] {
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
