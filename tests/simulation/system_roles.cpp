// What runs in each process, the devices, and the operator.
#include "fleet/topics.hpp"
#include "repository/action_repository.hpp"
#include "repository/outbox_relay.hpp"
#include "services/detector/detector.hpp"
#include "services/gateway/gateway.hpp"
#include "services/notifier/notifier.hpp"
#include "services/pki/pki_service.hpp"
#include "services/responder/responder.hpp"
#include "simulation/system_world.hpp"

namespace fleetward::simulation {
namespace {

constexpr std::uint16_t device_port = 8883;
const std::string pki_url = "http://10.0.1.1:8080";
const std::string pager_url = "http://10.0.2.1:9093";

void must_start(Universe& universe, const Status& started) {
  if (!started) universe.fail("a role does not start: " + started.error().message);
}

respond::Playbook playbook(bool then_revoke) {
  respond::PlaybookEntry entry;
  entry.name = "isolate-infected";
  entry.profile = "cameras";
  entry.mode = respond::EntryMode::act;
  entry.then_revoke = then_revoke;
  respond::Playbook book;
  book.entries = {entry};
  return book;
}

}  // namespace

void SystemWorld::start_gateway(Process& process, const Role& role) {
  gateway::GatewayConfig config;
  config.instance = role.name;
  config.address = config.probe_host = role.address;
  config.port = device_port;
  config.certificate_chain_pem = authority().server_chain_pem;
  config.private_key_pem = authority().server_key_pem;
  config.client_ca_pem = authority().root_pem + authority().issuing_pem;
  config.snapshot_folder = fmt::format("{}/{}", folder_.path(), role.name);
  config.signers = record_signers();
  must_start(
      universe_,
      process.run(std::make_unique<gateway::Gateway>(std::move(config), *process.bus, process.loop, process.metrics))
          .start());
  // Otherwise it may go by its snapshot, in which the last words of others are missing.
  const bool reads_the_bus = bus_faults_.read_fails == 0 && process.bus->away_until <= universe_.now();
  if (reads_the_bus) access_.on_gateway_start(role.name);
}

void SystemWorld::start_detector(Process& process, const Role& role) {
  detector::DetectorSettings settings;
  settings.member = role.name;
  settings.checkpoint_every = checkpoint_every_;
  must_start(universe_, process
                            .run(std::make_unique<detector::Detector>(settings, *process.bus, process.loop,
                                                                      process.metrics, process.random))
                            .start());
}

void SystemWorld::start_responder(Process& process, const Role& role) {
  responder::ResponderConfig config;
  config.instance = role.name;
  config.policy.playbook = playbook(then_revoke_);
  config.policy.enforcing = true;
  config.ca_pem = authority().root_pem;
  config.issuer_pem = authority().issuing_pem;
  config.pki_url = pki_url;
  must_start(universe_, process
                            .run(std::make_unique<responder::Responder>(std::move(config), *process.store, *process.bus,
                                                                        process.loop, process.metrics))
                            .start());
}

void SystemWorld::start_relay(Process& process, const Role& role) {
  process.bus->on_append = [this, &process] { relays_.on_append(process.loop); };
  repository::RelayOptions options;
  options.holder = role.name;
  options.lease = relay_lease_;
  options.check_every = Millis(20'000);
  options.signers = record_signers();
  process
      .run(std::make_unique<repository::OutboxRelay>(*process.store, *process.bus, process.loop, process.metrics,
                                                     options))
      .start();
}

void SystemWorld::start_notifier(Process& process, const Role& role) {
  notifier::NotifierConfig config;
  config.instance = role.name;
  config.alertmanagers = {pager_url};
  must_start(universe_, process
                            .run(std::make_unique<notifier::Notifier>(std::move(config), *process.store, *process.bus,
                                                                      process.loop, process.metrics))
                            .start());
}

void SystemWorld::start_pki(Process& process, const Role& role) {
  pki_role::PkiConfig config;
  config.folder = authority().folder;
  config.address = role.address;
  config.public_url = pki_url;
  must_start(universe_, process
                            .run(std::make_unique<pki_role::PkiService>(std::move(config), *process.store, process.loop,
                                                                        process.metrics))
                            .start());
}

void SystemWorld::make_devices() {
  Device::Hooks hooks;
  hooks.acknowledged = [this](const std::string& thing, const std::string& report) {
    access_.on_acknowledged(thing, report);
  };
  hooks.may_report = [this] { return in_trouble_; };
  const std::vector<net::Endpoint> gateways = {{"10.0.0.1", device_port}, {"10.0.0.2", device_port}};
  for (const Member& member : fleet_.members) {
    const auto version = universe_.choice().one_in(2) ? mqtt::Version::v5 : mqtt::Version::v311;
    devices_.push_back(
        std::make_unique<Device>(universe_, device_loop_, member.thing, member.tls, gateways, version, hooks));
    devices_.back()->start();
  }
}

// One device after another falls, some of them close together.
void SystemWorld::infect() {
  Choice& choice = universe_.choice();
  loop_.call_after(choice.one_in(3) ? choice.millis(0, 300) : choice.millis(2'000, 20'000), [this] {
    if (!in_trouble_) return;
    const auto which = universe_.choice().below(static_cast<std::int64_t>(devices_.size()));
    devices_[static_cast<std::size_t>(which)]->set_infected(true);
    universe_.note("infected: " + devices_[static_cast<std::size_t>(which)]->thing());
    infect();
  });
}

void SystemWorld::operate() {
  loop_.call_after(universe_.choice().millis(1'000, 8'000), [this] {
    if (!in_trouble_) return;
    std::vector<fleet::Action> all;
    const Status read = store_.now([&all](store::Transaction& tx) -> Status {
      auto listed = repository::list_actions(tx, {}, "", 100);
      if (!listed) return listed.error();
      all = std::move(*listed);
      return {};
    });
    if (!read) universe_.fail("actions cannot be listed: " + read.error().message);
    if (!all.empty())
      decide_by_hand(all[static_cast<std::size_t>(universe_.choice().below(static_cast<std::int64_t>(all.size())))]);
    operate();
  });
}

void SystemWorld::decide_by_hand(const fleet::Action& action) {
  using fleet::ActionState;
  Choice& choice = universe_.choice();
  const Instant now = universe_.now();
  const bool waits = action.state == ActionState::awaiting_approval || action.state == ActionState::proposed;
  const bool refuses = choice.one_in(3);
  const Status done = store_.now([&](store::Transaction& tx) -> Status {
    if (waits && refuses) {
      const auto refused = repository::refuse(tx, action.id, "alice", "not that one", now);
      return refused.ok() ? Status() : Status(refused.error());
    }
    if (waits) {
      const auto approved = repository::approve(tx, action.id, "alice", "go on", now);
      return approved.ok() ? Status() : Status(approved.error());
    }
    if (action.state == ActionState::released || action.state == ActionState::refused) return {};
    const auto released = repository::release(tx, action.id, "bob", "reflashed", now);
    return released.ok() ? Status() : Status(released.error());
  });
  if (!done) universe_.note("the operator was refused: " + done.error().message);
  actions_.on_commit();
  if (waits || action.level == fleet::HoldLevel::revoke) return;
  for (const auto& device : devices_) {
    if (device->thing() == action.thing) device->set_infected(false);
  }
}

}  // namespace fleetward::simulation
