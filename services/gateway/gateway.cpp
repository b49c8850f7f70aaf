#include "services/gateway/gateway.hpp"

#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/gateway/device_connection.hpp"

namespace fleetward::gateway {
namespace {

constexpr Millis tick_every{250};

}  // namespace

Counters::Counters(metrics::Registry& m)
    : registry(m),
      sessions_cut(m.counter("fleetward_gateway_sessions_cut_total",
                             "Live sessions that were ended by a hold or a certificate.")),
      probes(m.counter("fleetward_gateway_probes_total", "Probes answered.")),
      takeovers(
          m.counter("fleetward_gateway_takeovers_total", "Sessions that ended because their device connected again.")),
      custom_metric_problems(m.counter("fleetward_gateway_custom_metric_problems_total",
                                       "Custom metrics in accepted reports that are undefined or malformed.")),
      sessions(m.gauge("fleetward_gateway_sessions", "Devices that are connected.")) {}

metrics::Counter& Counters::reports(std::string_view result) {
  return registry.counter("fleetward_gateway_reports_total", "Reports by what became of them.",
                          {{"result", std::string(result)}});
}
metrics::Counter& Counters::refused(std::string_view reason) {
  return registry.counter("fleetward_gateway_refused_total", "Connections, publishes and subscriptions refused.",
                          {{"reason", std::string(reason)}});
}

Gateway::State::State(GatewayConfig c, bus::Bus& b, async::Scheduler& s, metrics::Registry& m)
    : config(std::move(c)),
      bus(b),
      scheduler(s),
      counters(m),
      scope(s, "gateway"),
      start_number(to_ms(s.now())),
      appender(std::make_shared<Appender>(b, s, m)),
      cloud(config.instance, start_number) {}

Gateway::Gateway(GatewayConfig config, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(config), bus, scheduler, metrics)) {}
Gateway::~Gateway() = default;

Status Gateway::start() {
  net::TlsServerConfig tls;
  tls.certificate_chain_pem = state_->config.certificate_chain_pem;
  tls.private_key_pem = state_->config.private_key_pem;
  tls.client_ca_pem = state_->config.client_ca_pem;
  tls.require_client_certificate = true;
  tls.resumption = state_->config.resumption;
  auto context = net::TlsContext::for_server(tls);
  if (!context) return context.error().with_context("gateway TLS");
  state_->tls = *context;
  async::run_on(state_->scheduler, [state = state_.get()] {
    const auto failed = [](const Error& e) { log::error("table_read_failed", {{"error", e.message}}); };
    const auto follow = [&](std::string_view topic, void (State::*apply)(const bus::Record&)) {
      return std::make_unique<bus::TableFollower>(
          state->bus, state->scheduler, std::string(topic), std::string(fleet::header::version),
          bus::TableFollower::Callbacks{[state, apply](const bus::Record& r) { (state->*apply)(r); },
                                        [state] { state->on_tables_read(); },
                                        failed,
                                        {}});
    };
    state->access_follower = follow(fleet::topic::access, &State::on_access);
    state->certificate_follower = follow(fleet::topic::certificates, &State::on_certificate);
    state->rules_follower = follow(fleet::topic::rules, &State::on_rules);
    state->appender->on_progress = [state] { state->relieve(); };
    state->scope.spawn("access", state->access_follower->run(state->scope));
    state->scope.spawn("certificates", state->certificate_follower->run(state->scope));
    state->scope.spawn("rules", state->rules_follower->run(state->scope));
    state->scope.spawn("heartbeat", state->beat());
    state->scope.spawn("tick", state->tick());
  });
  return {};
}

void Gateway::State::on_tables_read() {
  if (listener || stopping || !access_follower->caught_up() || !certificate_follower->caught_up() ||
      !rules_follower->caught_up())
    return;
  net::ListenerOptions options;
  options.connections_max = config.connections_max;
  std::weak_ptr<State> weak = weak_from_this();
  auto opened = net::Listener::open(
      scheduler, {config.address, config.port}, tls,
      [weak](std::shared_ptr<net::Connection> connection) {
        const auto state = weak.lock();
        if (!state) return connection->abort();
        auto device = std::make_shared<DeviceConnection>(state, std::move(connection));
        state->connections.insert(device);
        device->start();
      },
      options);
  if (!opened) {
    log::error("gateway_listen_failed", {{"error", opened.error().message}});
    scheduler.call_after(Millis(1000), [weak] {
      if (const auto state = weak.lock()) state->on_tables_read();
    });
    return;
  }
  listener = std::move(*opened);
  port = listener->port();
  log::info("gateway_open",
            {{"address", config.address}, {"port", port.load()}, {"mode", config.enforcing ? "enforce" : "observe"}});
  heartbeat(false);
}

void Gateway::State::heartbeat(bool is_stopping) {
  fleet::GatewayHeartbeat h;
  h.instance = config.instance;
  h.start_number = start_number;
  h.enforcing = config.enforcing;
  h.stopping = is_stopping;
  h.probe_host = config.probe_host;
  h.probe_port = port;
  h.access_next_offset = access_follower->next_offsets().at(0);
  h.certificates_next_offset = certificate_follower->next_offsets().at(0);
  h.sessions = static_cast<std::int64_t>(sessions.size());
  h.time = scheduler.now();
  h.lease_end = h.time + config.lease;
  const fleet::CloudEvent event{fmt::format("{}.{}.{}", config.instance, start_number, to_ms(h.time)),
                                "/fleetward/gateway",
                                std::string(fleet::event_type::gateway),
                                config.instance,
                                h.time,
                                to_json(h)};
  appender->append({std::string(fleet::topic::gateways), config.instance, to_json_text(event), {}, std::nullopt}, {});
}

async::Task<void> Gateway::State::beat() {
  while (true) {
    const bool whole = co_await scope.sleep(config.heartbeat_every);
    if (!whole) co_return;
    if (listener) heartbeat(false);
  }
}

async::Task<void> Gateway::State::tick() {
  while (true) {
    const bool whole = co_await scope.sleep(tick_every);
    if (!whole) co_return;
    emit_cloud_metrics();
  }
}

void Gateway::State::emit_cloud_metrics() {
  const Instant now = scheduler.now();
  cloud.emit_due(
      now, config.metrics_every,
      [&](const std::string& thing, const std::string& thing_id, const fleet::CloudMetrics& delta) {
        bus::OutRecord record{std::string(fleet::topic::devices), thing, json::dump(to_json(delta)), {}, std::nullopt};
        const auto header = [&record](std::string_view name, std::string value) {
          record.headers.push_back({std::string(name), std::move(value)});
        };
        header(fleet::header::kind, std::string(to_string(fleet::RecordKind::cloud_metrics)));
        header(fleet::header::received_ms, std::to_string(to_ms(now)));
        header(fleet::header::source, config.instance);
        if (!thing_id.empty()) header(fleet::header::thing_id, thing_id);
        appender->append(std::move(record), {});
      });
}

void Gateway::State::relieve() {
  if (overloaded()) return;
  for (const auto& connection : connections) connection->resume_reading();
}

void Gateway::stop(Millis limit) {
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->stopping = true;
    if (state->listener) state->listener->close();
    const auto connections = state->connections;  // closing changes the set
    for (const auto& connection : connections) connection->disconnect(mqtt::reason::server_shutting_down, {});
    if (state->listener) {
      state->emit_cloud_metrics();
      state->heartbeat(true);
    }
    state->scope.request_stop();
    state->access_follower->wake();
    state->certificate_follower->wake();
    state->rules_follower->wake();
  });
  if (!state_->scope.join(limit)) log::error("gateway_tasks_did_not_stop", {});
  // What is under way to the bus was promised to nobody yet, but a report that is durable should be acknowledged.
  const auto deadline = std::chrono::steady_clock::now() + limit;
  bool idle = false;
  while (!idle && std::chrono::steady_clock::now() < deadline) {
    async::run_on(state_->scheduler, [&] { idle = state_->appender->is_idle(); });
    if (!idle) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->appender->end();
    state->appender->on_progress = {};
    state->listener.reset();
    state->access_follower.reset();
    state->certificate_follower.reset();
    state->rules_follower.reset();
  });
}

Status Gateway::ready() const {
  if (state_->port != 0) return {};
  return Error(ErrorCode::unavailable, "the access and certificate tables are not read yet");
}

std::uint16_t Gateway::port() const { return state_->port; }

}  // namespace fleetward::gateway
