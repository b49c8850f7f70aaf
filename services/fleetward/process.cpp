#include "services/fleetward/process.hpp"

#include <algorithm>

#include "log/log.hpp"
#include "services/fleetward/lost_half.hpp"
#include "services/fleetward/ports.hpp"

namespace fleetward::program {
namespace {

bool is_among(std::string_view name, const std::vector<std::string>& roles) {
  return std::find(roles.begin(), roles.end(), name) != roles.end();
}

}  // namespace

bool judges_signatures(const std::vector<std::string>& roles) {
  return is_among("gateway", roles) || std::any_of(all_roles().begin(), all_roles().end(), [&roles](const Role& role) {
           return role.has_store && is_among(role.name, roles);
         });
}

Process::Process(const Settings& settings)
    : settings_(settings),
      gateway_loop_("gateway"),
      detector_loop_("detector"),
      control_loop_("control"),
      operations_(modules_, metrics_) {}

// The services go while their threads still run (a destructor may wait for its own), then the backends, whose threads
// may be waking ours to the last, then our threads: the order of the members, backwards.
Process::~Process() { operations_.stop(Millis(0)); }

// They run already; who looks at readiness hears of a full disk and of damage by them.
void Process::add_backends() {
  const auto add = [this](std::string name, std::function<Status()> health) {
    modules_.add({.name = std::move(name), .start = [] { return Status(); }, .ready = std::move(health)});
  };
  if (backends_.store) add("store", [this] { return backends_.store->health(); });
  add("log", [this] { return backends_.bus->health(); });
}

void Process::add_relay() {
  repository::RelayOptions options;
  options.holder = settings_.installation.instance;
  options.signers = signers_;
  const auto relay = std::make_shared<repository::OutboxRelay>(*backends_.store, *backends_.bus, control_loop_,
                                                               metrics_, std::move(options));
  hooks_.set_signers.emplace_back([relay](SharedSigners changed) { relay->set_signers(std::move(changed)); });
  modules_.add({.name = "relay",
                .start =
                    [relay] {
                      relay->start();
                      return Status();
                    },
                .stop = [relay](Millis limit) { relay->stop(limit); },
                .ready = [relay]() -> Status {
                  if (relay->is_ready()) return {};
                  return {ErrorCode::unavailable, "the outbox is not being published"};
                }});
}

Status Process::add_roles(const std::vector<std::string>& roles) {
  const Parts parts{settings_, metrics_,      *backends_.bus, backends_.store.get(),
                    signers_,  gateway_loop_, detector_loop_, control_loop_,
                    random_,   hooks_};
  for (const Role& role : all_roles()) {
    if (!is_among(role.name, roles)) continue;
    Result<runtime::Module> module = role.make(parts);
    if (!module) return module.error().with_context(role.name);
    modules_.add(std::move(*module));
  }
  return {};
}

Status Process::check_pair(const StartOptions& options) {
  if (!options.accept_empty_store) {
    if (const Status whole = refuse_lost_store(backends_, control_loop_, settings_.store); !whole) return whole;
  }
  const Result<bool> lost = is_log_lost(backends_, control_loop_);
  if (!lost) return lost.error();
  if (!*lost) return {};
  if (!options.accept_empty_log) return lost_log(settings_.bus);
  log::warn("empty_log_accepted");
  return tell_lost_log(backends_, control_loop_.now());
}

Status Process::open_backends(const std::vector<std::string>& roles, const StartOptions& options) {
  const bool has_store = std::any_of(all_roles().begin(), all_roles().end(), [&roles](const Role& role) {
    return role.has_store && is_among(role.name, roles);
  });
  if (has_store) {
    auto store = open_store(settings_, metrics_);
    if (!store) return store.error();
    backends_.store = std::move(*store);
  }
  if (judges_signatures(roles)) {
    auto signers = read_signers(settings_.installation.data_dir);
    if (!signers) return signers.error();
    signers_ = std::move(*signers);
  }
  if (has_store) {
    if (const Status signing = sign_in_store(roles); !signing) return signing;
  }
  auto bus = open_bus(settings_, metrics_);
  if (!bus) return bus.error();
  backends_.bus = std::move(*bus);
  if (!has_store) return {};
  if (const Status whole = check_pair(options); !whole) return whole;
  return sign_what_is_not(*backends_.store, *signers_, roles);
}

Status Process::sign_in_store(const std::vector<std::string>& roles) {
  const std::string& data_dir = settings_.installation.data_dir;
  auto signer = read_signer(data_dir, roles);
  if (!signer) return signer.error();
  backends_.store = repository::sign_in(std::move(backends_.store), std::move(*signer));
  return {};
}

Status Process::start(const std::vector<std::string>& roles, StartOptions options) {
  if (const Status opened = open_backends(roles, options); !opened) return opened;
  // After the backends: a second process on this folder hears of the first one, not of its ports.
  if (const Status free = await_ports(listen_places(settings_, roles), options.ports_limit); !free) return free;
  add_backends();
  if (backends_.store) add_relay();
  if (const Status added = add_roles(roles); !added) return added;
  // Before the roles: who looks sees what is being waited for.
  const net::Endpoint at{settings_.operations.address, static_cast<std::uint16_t>(settings_.operations.port)};
  if (const Status started = operations_.start(at); !started) return started.error().with_context("operations");
  if (const Status started = modules_.start_all(settings_.installation.stop_limit); !started) return started;
  log::info("started", {{"operations_port", operations_.port()}});
  return {};
}

void Process::set_playbook(respond::Playbook playbook) {
  if (hooks_.set_playbook) hooks_.set_playbook(std::move(playbook));
}

void Process::set_playbook_stale(bool stale) {
  metrics_.gauge("fleetward_playbook_stale", "1 while the playbook's file is no good and an older one is in force.")
      .set(stale ? 1 : 0);
}

Status Process::set_tls(const net::TlsMaterial& material) {
  for (const auto& set : hooks_.set_tls) {
    if (const Status done = set(material); !done) return done;
  }
  return {};
}

void Process::set_signers(const SharedSigners& signers) {
  for (const auto& set : hooks_.set_signers) set(signers);
}

void Process::set_signers_stale(bool stale) {
  metrics_
      .gauge("fleetward_signers_stale",
             "1 while signers.json is no good and an older list of who may sign records is in force.")
      .set(stale ? 1 : 0);
}

void Process::set_tls_facts(std::optional<Instant> not_after, bool stale) {
  if (!not_after) return;  // no role with TLS runs here
  metrics_
      .gauge("fleetward_server_certificate_not_after_seconds",
             "When the server certificate in force expires, in Unix time; `fleetward init` renews it.")
      .set(static_cast<double>(to_ms(*not_after)) / 1000);
  metrics_
      .gauge(
          "fleetward_server_certificate_stale",
          "1 while the files of the server's certificate, key or authorities are no good and older ones are in force.")
      .set(stale ? 1 : 0);
}

bool Process::stop() {
  log::info("stopping");
  const bool ended = modules_.stop_all(settings_.installation.stop_limit);
  operations_.stop(Millis(1'000));
  return ended;
}

}  // namespace fleetward::program
