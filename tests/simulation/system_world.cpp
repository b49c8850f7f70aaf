#include "simulation/system_world.hpp"

#include "access/tables.hpp"
#include "fleet/topics.hpp"
#include "repository/incident_repository.hpp"

namespace fleetward::simulation {
namespace {

constexpr Millis trouble_time{90'000};
constexpr Millis calm_time{120'000};

std::int64_t rate(Choice& choice, std::int64_t low, std::int64_t high) {
  return choice.one_in(3) ? 0 : choice.between(low, high);
}

BusFaults some_bus_faults(Choice& c) {
  return {rate(c, 10, 100), rate(c, 20, 100), rate(c, 20, 100), rate(c, 5, 30),  rate(c, 30, 300),
          rate(c, 30, 300), c.millis(0, 40),  rate(c, 20, 100), rate(c, 50, 400)};
}

StoreFaults some_store_faults(Choice& c) {
  return {rate(c, 20, 200), rate(c, 30, 200), rate(c, 3, 20), c.millis(0, 60)};
}

NetworkFaults some_network_faults(Choice& c) {
  return {rate(c, 30, 300), rate(c, 100, 500), rate(c, 5, 50), c.millis(1, 60)};
}

}  // namespace

SystemWorld::SystemWorld(std::uint64_t seed)
    : universe_(seed, world_start),
      bus_faults_(some_bus_faults(universe_.choice())),
      store_faults_(some_store_faults(universe_.choice())),
      network_faults_(some_network_faults(universe_.choice())),
      partitions_(static_cast<std::int32_t>(universe_.choice().between(1, 4))),
      store_(universe_),
      fleet_(set_up_fleet(store_, universe_.choice().between(4, 14))),
      detection_(universe_, partitions_),
      model_(universe_),
      access_(universe_, fleet_.things),
      actions_(store_, fleet_.group_sizes),
      forger_(universe_),
      network_(universe_, network_faults_),
      groups_(universe_),
      relays_(store_),
      proofs_(universe_, network_, access_),
      loop_(universe_, "world"),
      device_loop_(universe_, "devices"),
      pager_loop_(universe_, "pager"),
      checkpoint_every_(universe_.choice().millis(100, 3'000)),
      session_timeout_(universe_.choice().millis(2'000, 10'000)),
      relay_lease_(universe_.choice().millis(3'000, 8'000)),
      then_revoke_(universe_.choice().one_in(2)),
      disturb_one_in_(universe_.choice().between(1'000, 20'000)) {
  log_.on_write = [this](const Written& written) {
    groups_.on_write(written);
    detection_.on_write(written);
    model_.on_write(written);
    access_.on_write(written);
    actions_.on_write(written);
    forger_.on_write(written);
    relays_.on_write(written);
    proofs_.on_write(written);
  };
  store_.on_commit = [this] {
    actions_.on_commit();
    relays_.on_commit();
  };
  actions_.on_step = [this](const fleet::ActionEvent& event) { proofs_.on_step(event); };
  network_.on_server_write = [this](const SimNetwork::ServerWrite& write) { access_.on_server_write(write); };
  access_.on_admission = [this](const std::string& gateway, const std::string& thing, std::uint64_t connection) {
    proofs_.on_admission(gateway, thing, connection);
  };
  network_.attach(device_loop_, "10.8.0.1");
  network_.attach(pager_loop_, "10.0.2.1");
  pager_ = std::make_unique<Pager>(universe_, pager_loop_, net::Endpoint{"10.0.2.1", 9093},
                                   [this] { return in_trouble_ && universe_.choice().one_in(4); });
  add_roles();
  start_bus();
  start_all();
  make_devices();
  infect();
  operate();
  trouble();
  come_and_go();
  forge();
  universe_.after_each = [this](Loop& loop) {
    if (in_trouble_ && universe_.choice().one_in(disturb_one_in_)) disturb(loop);
  };
}

// Whoever holds tasks goes before the loops on which those unwind.
SystemWorld::~SystemWorld() {
  log_.on_write = {};
  universe_.after_each = {};
  for (Role& role : roles_) crash(role);
  ghosts_.clear();
  brokers_.back()->crash();
  for (Loop* loop : {&loop_, &device_loop_, &pager_loop_}) loop->die();
  network_.forget(device_loop_);
  network_.forget(pager_loop_);
  pager_->drop();
  for (Loop* loop : {&loop_, &device_loop_, &pager_loop_}) loop->drop_everything();
}

const std::string& SystemWorld::run() {
  universe_.run_for(trouble_time);
  in_trouble_ = false;
  bus_faults_ = {};
  store_faults_ = {};
  network_faults_ = {};
  for (Role& role : roles_) {
    if (role.process) role.process->bus->away_until = role.process->store->away_until = {};
    if (role.is_guest) leave(role);
  }
  start_all();
  universe_.note("calm");
  universe_.run_for(calm_time);
  if (!universe_.failed()) at_rest();
  return universe_.failure();
}

// ---- processes

void SystemWorld::add_roles() {
  const auto add = [this](const char* name, const char* address, void (SystemWorld::*start)(Process&, const Role&),
                          bool is_guest = false) {
    roles_.push_back(Role{name, address, start, is_guest, nullptr});
  };
  add("gateway-1", "10.0.0.1", &SystemWorld::start_gateway);
  add("gateway-2", "10.0.0.2", &SystemWorld::start_gateway);
  add("detector-1", "10.0.3.1", &SystemWorld::start_detector);
  add("detector-2", "10.0.3.2", &SystemWorld::start_detector);
  add("detector-3", "10.0.3.3", &SystemWorld::start_detector, true);
  add("responder-1", "10.0.4.1", &SystemWorld::start_responder);
  add("responder-2", "10.0.4.2", &SystemWorld::start_responder);
  add("responder-3", "10.0.4.3", &SystemWorld::start_responder, true);
  add("relay-1", "10.0.6.1", &SystemWorld::start_relay);
  add("relay-2", "10.0.6.2", &SystemWorld::start_relay);
  add("notifier-1", "10.0.5.1", &SystemWorld::start_notifier);
  add("notifier-2", "10.0.5.2", &SystemWorld::start_notifier);
  add("pki-1", "10.0.1.1", &SystemWorld::start_pki);
}

void SystemWorld::start_all() {
  for (Role& role : roles_) {
    if (!role.is_guest) start(role);
  }
}

void SystemWorld::start_bus() {
  Choice& choice = universe_.choice();
  brokers_.push_back(std::make_unique<Broker>(universe_, log_, choice.between(50, 500), choice.millis(10, 1'000)));
  if (!brokers_.back()->bus().ensure_topics(all_topics(partitions_))) universe_.fail("the topics cannot be made");
}

void SystemWorld::start(Role& role) {
  if (role.process) return;
  role.process = std::make_unique<Process>(universe_, role.name, ++incarnations_);
  Process& process = *role.process;
  process.loop.clock_error = universe_.choice().millis(-300, 300);
  process.bus = std::make_unique<ProcessBus>(universe_, process.loop, brokers_.back()->bus(), bus_faults_, ghosts_);
  process.bus->session_timeout = session_timeout_;
  process.bus->groups = &groups_;
  process.store = std::make_unique<ProcessStore>(store_, process.loop, store_faults_);
  if (in_trouble_ && universe_.choice().one_in(6)) process.bus->away_until = universe_.now() + some_outage(role);
  if (in_trouble_ && universe_.choice().one_in(6)) process.store->away_until = universe_.now() + some_outage(role);
  network_.attach(process.loop, role.address);
  universe_.note("starts: " + role.name);
  (this->*role.start)(process, role);
}

void SystemWorld::crash(Role& role) {
  if (!role.process) return;
  universe_.note("crashes: " + role.name);
  role.process->loop.die();
  network_.forget(role.process->loop);
  role.process->crash();
  graveyard_.push_back(std::move(role.process));
  ++crashes_;
}

// As one that is told to end: it ends by itself as far as it gets, and then is ended.
void SystemWorld::leave(Role& role) {
  if (!role.process || std::exchange(role.process->is_leaving, true)) return;
  universe_.note("is told to end: " + role.name);
  Process* process = role.process.get();
  process->stop();
  const Millis patience = universe_.choice().millis(100, 8'000);
  loop_.call_after(patience, [process] { process->stop(); });
  loop_.call_after(patience + Millis(10), [this, &role, process] {
    if (role.process.get() == process) crash(role);
  });
}

// Everything, with what the bus had queued and not written: the embedded shape's kill -9.
void SystemWorld::crash_all() {
  for (Role& role : roles_) crash(role);
  ghosts_.clear();
  universe_.note("crashes: the bus");
  brokers_.back()->crash();
  start_bus();
  start_all();
}

void SystemWorld::disturb(Loop& loop) {
  for (Role& role : roles_) {
    if (!role.process || &role.process->loop != &loop) continue;
    Choice& choice = universe_.choice();
    if (choice.one_in(3)) {
      const Millis still = choice.millis(10, 12'000);
      universe_.note(fmt::format("stands still: {} for {} ms", role.name, still.count()));
      return loop.stand_still(still);
    }
    crash(role);
    loop_.call_after(choice.millis(0, 5'000), [this, &role] { start(role); });
    return;
  }
}

// A gateway's is not for so long that its devices, which go on at another one, have sent more meanwhile than a detector
// remembers of them: a report that waited here would count twice.
Millis SystemWorld::some_outage(const Role& role) {
  Choice& choice = universe_.choice();
  const bool is_long = role.start != &SystemWorld::start_gateway && choice.one_in(6);
  return choice.millis(10, is_long ? 30'000 : 6'000);
}

void SystemWorld::trouble() {
  loop_.call_after(universe_.choice().millis(500, 6'000), [this] {
    if (!in_trouble_) return;
    Choice& choice = universe_.choice();
    Role& role = roles_[static_cast<std::size_t>(choice.below(static_cast<std::int64_t>(roles_.size())))];
    const std::int64_t kind = choice.below(10);
    if (kind < 3 && role.process) disturb(role.process->loop);
    else if (kind < 6 && role.process) role.process->bus->away_until = universe_.now() + some_outage(role);
    else if (kind < 8 && role.process) role.process->store->away_until = universe_.now() + some_outage(role);
    else if (kind == 9 && choice.one_in(4)) crash_all();
    trouble();
  });
}

// Guests come for a while; others are stopped in good order and started again. Partitions move each time.
void SystemWorld::come_and_go() {
  loop_.call_after(universe_.choice().millis(1'000, 12'000), [this] {
    if (!in_trouble_) return;
    Choice& choice = universe_.choice();
    Role& role = roles_[static_cast<std::size_t>(choice.below(static_cast<std::int64_t>(roles_.size())))];
    const bool can_stop = role.start != &SystemWorld::start_pki;
    if (!role.process) {
      start(role);
    } else if (can_stop) {
      leave(role);
      if (!role.is_guest) loop_.call_after(choice.millis(8'100, 12'000), [this, &role] { start(role); });
    }
    come_and_go();
  });
}

// Somebody who can write to the topics, and holds no key.
void SystemWorld::forge() {
  loop_.call_after(universe_.choice().millis(1'000, 15'000), [this] {
    if (!in_trouble_) return;
    if (auto record = forger_.next()) brokers_.back()->bus().append({std::move(*record)}, [](const auto&) {});
    forge();
  });
}

// ---- at rest

void SystemWorld::at_rest() {
  detection_.at_rest();
  model_.at_rest();
  actions_.at_rest();
  relays_.at_rest();
  proofs_.at_rest();
  for (const auto& device : devices_) check_device(*device);
  check_pages();
  check_tables();
}

void SystemWorld::check_device(const Device& device) {
  const fleet::AccessRecord* record = access_.newest(device.thing());
  const bool held = record != nullptr && access::keeps_out(access::strictest(*record));
  const bool revoked = std::any_of(actions_.actions().begin(), actions_.actions().end(), [&](const auto& a) {
    return a.second.thing == device.thing() && a.second.level == fleet::HoldLevel::revoke &&
           !a.second.approved_by.empty();
  });
  if (held && device.has_session()) universe_.fail(device.thing() + " is held and has a session");
  if (!held && !revoked && !device.has_session()) universe_.fail(device.thing() + " is free and has no session");
  if (!held && !revoked && device.unacknowledged() > 0)
    universe_.fail(device.thing() + " waits for an acknowledgement for ever");
}

namespace {

// A brake's or a cap's page is held back while a devices' page tells of it, and not sent when it is over by then.
bool may_go_unpaged(const fleet::Incident& incident, bool devices_open) {
  if (!incident.condition) return false;
  const fleet::GovernorKind kind = incident.condition->kind;
  return (kind == fleet::GovernorKind::brake || kind == fleet::GovernorKind::cap) && (devices_open || !incident.open);
}

}  // namespace

void SystemWorld::check_pages() {
  std::map<std::string, std::set<std::string>> incidents_of;  // by action
  const Status read = store_.now([&](store::Transaction& tx) -> Status {
    const auto incidents = repository::list_incidents(tx, {}, "", 1'000);
    if (!incidents) return incidents.error();
    const bool devices_open = std::any_of(incidents->begin(), incidents->end(),
                                          [](const fleet::Incident& i) { return i.open && !i.condition; });
    for (const fleet::Incident& incident : *incidents) {
      for (const fleet::IncidentMember& m : incident.members) {
        incidents_of[m.action].insert(incident.id);
        const auto known = actions_.actions().find(m.action);
        if (known == actions_.actions().end() || known->second.state != m.state)
          universe_.fail("an incident shows another state of action " + m.action);
      }
      const auto page = pager_->pages().find(incident.id);
      const bool is_missing = page == pager_->pages().end();
      if (is_missing && may_go_unpaged(incident, devices_open)) continue;
      if (is_missing) universe_.fail("an incident was never paged: " + incident.id);
      else if (incident.open == (page->second.ends_at <= universe_.now()))
        universe_.fail("the pager does not know how it stands with incident " + incident.id);
    }
    return {};
  });
  if (!read) universe_.fail("incidents cannot be read: " + read.error().message);
  for (const auto& [id, action] : actions_.actions()) {
    if (incidents_of[id].size() != 1)
      universe_.fail(fmt::format("action {} is in {} incidents", id, incidents_of[id].size()));
  }
}

// What compaction would leave is what somebody who may has signed, or nothing.
void SystemWorld::check_tables() {
  for (const std::string_view topic : {fleet::topic::access, fleet::topic::certificates}) {
    std::map<std::string, bus::Record> last;
    for (bus::Record& r : log_.all(std::string(topic), 1)) last[r.key] = std::move(r);
    for (const auto& [key, record] : last) {
      if (record.value && !is_signed(record)) universe_.fail(fmt::format("a forged record of {} is the last", key));
    }
  }
}

std::size_t SystemWorld::verified() const {
  return static_cast<std::size_t>(
      std::count_if(actions_.actions().begin(), actions_.actions().end(),
                    [](const auto& a) { return a.second.stopwatch.verified != Instant(); }));
}

}  // namespace fleetward::simulation
