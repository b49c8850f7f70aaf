// What the parts of a running responder share. Private to the role; its scheduler's thread.
#pragma once

#include <map>
#include <set>

#include "bus/table_follower.hpp"
#include "fleet/gateway_events.hpp"
#include "services/responder/prober.hpp"
#include "services/responder/responder.hpp"

namespace fleetward::responder {

struct Responder::State : std::enable_shared_from_this<Responder::State> {
  State(ResponderConfig c, store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m);

  // responder.cpp
  async::Task<void> consume_violations();
  async::Task<void> consume_enforcement();
  async::Task<void> keep_leases();
  async::Task<Status> decide_batch(const std::vector<bus::Record>& records);
  async::Task<Status> note_batch(const std::vector<bus::Record>& records);
  void on_gateway(const bus::Record& record);
  [[nodiscard]] std::vector<fleet::GatewayHeartbeat> known_gateways() const;

  // verification.cpp
  async::Task<void> watch_actions();
  async::Task<void> verify(fleet::Action action);
  async::Task<void> look_again(fleet::Action action);
  async::Task<std::vector<fleet::Evidence>> examine(fleet::Action action, ProbeIdentity identity);
  async::Task<Result<ProbeIdentity>> probe_identity(std::string thing);
  async::Task<Result<fleet::Action>> current(std::string id);
  async::Task<void> conclude(std::string id, std::string fault, std::vector<fleet::Evidence> evidence);

  ResponderConfig config;
  // Swapped whole: a transaction that runs on the store's thread keeps the one that it began with.
  std::shared_ptr<const repository::Policy> policy;
  store::Store& store;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  async::Scope scope;
  std::unique_ptr<store::Listener> wake;
  std::unique_ptr<bus::Consumer> violations;
  std::unique_ptr<bus::Consumer> enforcement;
  std::unique_ptr<bus::TableFollower> gateways_follower;
  std::map<std::string, fleet::GatewayHeartbeat> gateways;
  std::set<std::string> under_way;           // actions that are being verified
  std::map<std::string, Instant> looked_at;  // proven ones, when last
  metrics::Counter& decisions;
  metrics::Counter& verified;
  metrics::Counter& failed;
  metrics::Counter& drifted;
  metrics::Histogram& time_to_cut;
  std::atomic<bool> ready{false};
};

}  // namespace fleetward::responder
