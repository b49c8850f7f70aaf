#include "services/gateway/gateway.hpp"

#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/gateway/device_connection.hpp"

namespace fleetward::gateway {
namespace {

constexpr Millis tick_every{250};
constexpr Millis in_step_every{10'000};
constexpr Millis goodbye_limit{1'500};  // for peers that do not close

// 0 before the table was read at all.
std::int64_t next_offset(const bus::TableFollower& follower) {
  const auto& offsets = follower.next_offsets();
  return offsets.empty() ? 0 : offsets.begin()->second;
}

}  // namespace

Counters::Counters(metrics::Registry& m)
    : registry(m),
      reports_accepted(reports("accepted")),
      sessions_cut(m.counter("fleetward_gateway_sessions_cut_total",
                             "Live sessions that were ended by a hold or a certificate.")),
      probes(m.counter("fleetward_gateway_probes_total", "Probes answered.")),
      takeovers(
          m.counter("fleetward_gateway_takeovers_total", "Sessions that ended because their device connected again.")),
      custom_metric_problems(m.counter("fleetward_gateway_custom_metric_problems_total",
                                       "Custom metrics in accepted reports that are undefined or malformed.")),
      wills_ignored(m.counter("fleetward_gateway_wills_ignored_total",
                              "Wills of admitted devices: this endpoint publishes none.")),
      snapshot_failures(
          m.counter("fleetward_gateway_snapshot_failures_total", "Writes of the table snapshot that failed.")),
      events_dropped(m.counter("fleetward_gateway_events_dropped_total",
                               "Refusals that were not told on the bus, which did not keep up.")),
      dimension_counts_dropped(m.counter("fleetward_gateway_dimension_counts_dropped_total",
                                         "Counts of dimensions that had no room in a device's next delta.")),
      dimensions_left_out(m.gauge("fleetward_gateway_dimensions_left_out",
                                  "Dimensions in use that are not counted: there are too many filters.")),
      accept_failures(m.counter("fleetward_gateway_accept_failures_total",
                                "Times that no connection could be taken: out of file descriptors.")),
      sessions(m.gauge("fleetward_gateway_sessions", "Devices that are connected.")),
      handshakes(m.gauge("fleetward_gateway_handshakes", "TLS handshakes under way.")),
      authorities(m.gauge("fleetward_gateway_authorities",
                          "Registered authorities whose devices' certificates are trusted, beside our own.")) {}

metrics::Counter& Counters::reports(std::string_view result) {
  return registry.counter("fleetward_gateway_reports_total", "Reports by what became of them.",
                          {{"result", std::string(result)}});
}
metrics::Counter& Counters::refused(std::string_view reason) {
  return registry.counter("fleetward_gateway_refused_total", "Connections, publishes and subscriptions refused.",
                          {{"reason", std::string(reason)}});
}

metrics::Counter& Counters::throttled(std::string_view limit) {
  return registry.counter("fleetward_gateway_throttled_total",
                          "Times that a socket was not read for a while, because a limit of all was reached.",
                          {{"limit", std::string(limit)}});
}

Gateway::State::State(GatewayConfig c, bus::Bus& b, async::Scheduler& s, metrics::Registry& m)
    : config(std::move(c)),
      bus(b),
      scheduler(s),
      counters(m),
      scope(s, "gateway"),
      start_number(to_ms(s.now())),
      appender(std::make_shared<Appender>(b, s, m)),
      cloud(config.instance, start_number),
      dimension_rules(config.instance, start_number),
      check(config.signers, config.instance, config.snapshot_folder, m),
      guard(config.connection_limits) {}

Gateway::Gateway(GatewayConfig config, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(config), bus, scheduler, metrics)) {}
Gateway::~Gateway() = default;

Status Gateway::start() {
  const GatewayConfig& config = state_->config;
  const net::TlsMaterial own{config.certificate_chain_pem, config.private_key_pem, config.client_ca_pem};
  const auto context = state_->make_tls(own);
  if (!context) return context.error();
  state_->use_tls(own, *context);
  if (!state_->config.snapshot_folder.empty()) {
    state_->snapshot = std::make_unique<Snapshot>(state_->config.snapshot_folder);
  }
  async::run_on(state_->scheduler, [state = state_.get()] {
    state->check.begin();
    state->make_followers();
    state->appender->on_progress = [state] { state->relieve(); };
    state->scope.spawn("access", state->access_follower->run(state->scope));
    state->scope.spawn("certificates", state->certificate_follower->run(state->scope));
    state->scope.spawn("rules", state->rules_follower->run(state->scope));
    state->scope.spawn("heartbeat", state->beat());
    state->scope.spawn("tick", state->tick());
  });
  return {};
}

Status Gateway::set_tls(const net::TlsMaterial& material) {
  Status set;
  async::run_on(state_->scheduler, [state = state_.get(), &material, &set] {
    const auto context = state->make_tls(material);
    if (context) state->use_tls(material, *context);
    else set = context.error();
  });
  return set;
}

void Gateway::set_signers(std::shared_ptr<const access::Signers> signers) {
  async::run_on(state_->scheduler, [state = state_.get(), &signers] {
    const std::vector<bus::Record> again = state->check.set_signers(std::move(signers));
    for (const bus::Record& record : again) {
      auto& follower = record.topic == fleet::topic::access ? state->access_follower : state->certificate_follower;
      follower->offer({record});
    }
  });
}

void Gateway::State::make_followers() {
  const auto follow = [this](std::string_view topic, void (State::*apply)(const bus::Record&)) {
    bus::TableFollower::Callbacks callbacks;
    callbacks.record = [this, apply](const bus::Record& r) {
      bus_failing_at_read = false;
      (this->*apply)(r);
    };
    callbacks.caught_up = [this] { on_tables_read(); };
    callbacks.failed = [this](const Error& e) { on_table_failed(e); };
    callbacks.batch_end = [this] {
      flush_events();
      tell_refused();
      go_by_rules();
      go_by_authorities();
    };
    if (access::is_signed_topic(topic)) callbacks.accept = [this](const bus::Record& r) { return accepts(r); };
    return std::make_unique<bus::TableFollower>(bus, scheduler, std::string(topic), std::string(fleet::header::version),
                                                std::move(callbacks));
  };
  access_follower = follow(fleet::topic::access, &State::on_access);
  certificate_follower = follow(fleet::topic::certificates, &State::on_certificate);
  rules_follower = follow(fleet::topic::rules, &State::on_rules);
}

void Gateway::State::on_tables_read() {
  if (stopping || !access_follower->caught_up() || !certificate_follower->caught_up() || !rules_follower->caught_up())
    return;
  bus_failing_at_read = false;
  if (const Status kept = check.finish(); !kept) {
    counters.snapshot_failures.add();
    log::error("snapshot_failed", {{"error", kept.error().message}});
  }
  if (snapshot && !snapshot->is_open()) {
    last_in_step = scheduler.now();
    const Status kept = snapshot->write(holds, certificates, last_in_step);
    if (!kept) {
      counters.snapshot_failures.add();
      log::error("snapshot_failed", {{"error", kept.error().message}});
    }
  }
  open_listener();
}

// The bus cannot be read. At start, the tables as they were known last serve meanwhile, unless they are too old.
void Gateway::State::on_table_failed(const Error& error) {
  log::error("table_read_failed", {{"error", error.message}});
  bus_failing_at_read = true;
  if (listener || stopping || !snapshot || snapshot->is_open()) return;
  const Result<Snapshot::Contents> kept = Snapshot::read(config.snapshot_folder);
  if (!kept) return log::error("snapshot_unusable", {{"error", kept.error().message}});
  if (scheduler.now() - kept->in_step > config.snapshot_age_max)
    return log::error("snapshot_unusable", {{"error", "it is too old"}});
  for (const fleet::AccessRecord& record : kept->access) holds.apply(record);
  for (const fleet::CertificateRecord& record : kept->certificates) certificates.apply(record);
  for (const fleet::AuthorityRecord& record : kept->authorities) certificates.apply(record);
  trust_changed = true;
  go_by_authorities();
  log::warn("tables_from_snapshot", {{"of", to_rfc3339(kept->in_step)}});
  open_listener();
}

void Gateway::State::open_listener() {
  if (listener) return;
  net::ListenerOptions options;
  options.connections_max = config.connections_max;
  options.proxy_from = config.proxy_from;
  std::weak_ptr<State> weak = weak_from_this();
  auto opened = net::Listener::open(
      scheduler, {config.address, config.port}, tls,
      [weak](std::shared_ptr<net::Connection> connection) {
        const auto state = weak.lock();
        if (!state) return connection->abort();
        state->take(std::move(connection));
      },
      options);
  listen_failed = !opened.ok();
  if (!opened) {
    log::error("gateway_listen_failed", {{"error", opened.error().message}});
    scheduler.call_after(Millis(1000), [weak] {
      const auto state = weak.lock();
      if (state && !state->stopping) state->open_listener();
    });
    return;
  }
  listener = std::move(*opened);
  port = listener->port();
  log::info("gateway_open",
            {{"address", config.address}, {"port", port.load()}, {"mode", config.enforcing ? "enforce" : "observe"}});
  heartbeat(false);
}

// Before its handshake, which is what costs: who comes too often, or has failed too often, is closed without a word,
// since there is no MQTT yet in which to say it.
void Gateway::State::take(std::shared_ptr<net::Connection> connection) {
  const std::string_view limit = guard.admit(connection->peer().host, scheduler.steady_now());
  if (!limit.empty()) {
    counters.refused(limit).add();
    return connection->abort();
  }
  counters.handshakes.set(static_cast<double>(guard.handshakes()));
  const std::uint64_t number = ++last_connection;
  auto device = std::make_shared<DeviceConnection>(shared_from_this(), std::move(connection), number);
  connections.emplace(number, device);
  device->start();
}

void Gateway::State::count_read(std::size_t bytes) {
  all_bytes.charge(config.bytes, static_cast<std::int64_t>(bytes), scheduler.steady_now());
}

bool Gateway::State::is_throttled() const {
  const auto now = scheduler.steady_now();
  return all_bytes.is_overdrawn(config.bytes, now) || all_messages.is_overdrawn(config.messages, now);
}

void Gateway::State::heartbeat(bool is_stopping) {
  // While the bus takes nothing, signs of life would pile up, each overtaken by the next.
  if (appender->is_failing() && !is_stopping) return;
  fleet::GatewayHeartbeat h;
  h.instance = config.instance;
  h.start_number = start_number;
  h.enforcing = config.enforcing;
  h.stopping = is_stopping;
  h.probe_host = config.probe_host;
  h.probe_port = port;
  h.access_next_offset = next_offset(*access_follower);
  h.certificates_next_offset = next_offset(*certificate_follower);
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
    say_what_is_counted();
    emit_due_metrics();
    counters.dimension_counts_dropped.add(cloud.take_dropped());
    keep_snapshot();
    flush_events();
    tell_refused();
    relieve();
    if (listener) {
      const std::uint64_t refused = listener->refused();
      counters.refused("connections-max").add(refused - std::exchange(refused_by_listener, refused));
      const std::uint64_t failures = listener->accept_failures();
      counters.accept_failures.add(failures - std::exchange(accept_failures, failures));
      const std::uint64_t bad = listener->bad_proxy_headers();
      counters.refused("proxy-header").add(bad - std::exchange(bad_proxy_headers, bad));
    }
  }
}

// Now and then says that the tables are still those of the bus, and writes the file anew when it has grown.
void Gateway::State::keep_snapshot() {
  if (!snapshot || !snapshot->is_open()) return;
  const Instant now = scheduler.now();
  Status kept;
  if (snapshot->wants_writing()) {
    kept = snapshot->write(holds, certificates, now);
  } else if (has_passed(last_in_step, now, in_step_every) && !bus_failing_at_read) {
    last_in_step = now;
    snapshot->in_step(now);
    kept = snapshot->sync();
  }
  if (kept) return;
  counters.snapshot_failures.add();
  log::error("snapshot_failed", {{"error", kept.error().message}});
}

void Gateway::State::relieve() {
  if (stopping || overloaded() || is_throttled() || !std::exchange(reading_paused, false)) return;
  for (const auto& [number, connection] : connections) connection->resume_reading();
}

void Gateway::State::say_goodbye() {
  const auto all = connections;  // closing changes them
  for (const auto& [number, connection] : all) connection->disconnect(mqtt::reason::server_shutting_down, {});
}

// Who has said goodbye is not waited for by any proof, so it must not come back by what it knew: what the bus says then
// is what it goes by. While the bus takes nothing the goodbye would not be heard: we are waited for, and may use what
// we knew.
bool Gateway::State::give_up_snapshot() {
  if (appender->is_failing()) return false;
  const Status gone = snapshot ? snapshot->discard() : Status();
  if (gone) return true;
  counters.snapshot_failures.add();
  log::error("snapshot_failed", {{"error", gone.error().message}});
  return false;
}

void Gateway::State::last_words() {
  const auto all = connections;
  for (const auto& [number, connection] : all) connection->abort();
  flush_events();
  if (listener) {
    cloud.emit_due(scheduler.now(), Millis(0), [this](const auto&... delta) { append_cloud_metrics(delta...); });
    if (give_up_snapshot()) heartbeat(true);
  }
  scope.request_stop();
  access_follower->wake();
  certificate_follower->wake();
  rules_follower->wake();
}

void Gateway::State::let_go() {
  appender->end();
  appender->on_progress = {};
  listener.reset();
  access_follower.reset();
  certificate_follower.reset();
  rules_follower.reset();
}

// In order: no new connections and nothing more read, what is under way made durable and acknowledged, sessions ended,
// the rest told.
void Gateway::stop(Millis limit) {
  State& state = *state_;
  const auto wait_until = [&state](Millis span, const std::function<bool()>& is_so) {
    const auto deadline = std::chrono::steady_clock::now() + span;
    for (bool so = false; std::chrono::steady_clock::now() < deadline;) {
      async::run_on(state.scheduler, [&] { so = is_so(); });
      if (so) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  };
  async::run_on(state.scheduler, [&state] {
    state.stopping = true;
    if (state.listener) state.listener->close();
    for (const auto& [number, connection] : state.connections) connection->pause_reading();
  });
  wait_until(limit / 3, [&state] { return state.appender->is_idle(); });
  async::run_on(state.scheduler, [&state] { state.say_goodbye(); });
  wait_until(std::min(limit / 3, goodbye_limit), [&state] { return state.connections.empty(); });
  async::run_on(state.scheduler, [&state] { state.last_words(); });
  if (!state.scope.join(limit)) return log::error("gateway_tasks_did_not_stop", {});
  wait_until(limit / 3, [&state] { return state.appender->is_idle(); });
  async::run_on(state.scheduler, [&state] { state.let_go(); });
}

Status Gateway::ready() const {
  if (state_->port != 0) return {};
  if (state_->listen_failed) {
    const std::string at = net::to_string({state_->config.address, state_->config.port});
    return Error(ErrorCode::unavailable,
                 fmt::format("cannot listen on {}: another program has the port, or the address is not this machine's; "
                             "tried again each second",
                             at));
  }
  return Error(ErrorCode::unavailable, "the access and certificate tables are not read yet");
}

std::uint16_t Gateway::port() const { return state_->port; }

}  // namespace fleetward::gateway
