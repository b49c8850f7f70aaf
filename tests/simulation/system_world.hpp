// The whole system in virtual time: gateways, detectors, responders, relays, notifiers and pki, each a process of its
// own, devices that connect over an unreliable network, an operator who approves and releases, and trouble.
//
// Every process can die at any await, stand still for longer than its sessions last, stop in good order, or lose its
// way to bus or store; some come for a while and go. Now and then everything dies at once, with what the bus had
// queued. Afterwards there is calm, and everything has to come to rest.
#pragma once

#include "simulation/access_oracle.hpp"
#include "simulation/action_oracle.hpp"
#include "simulation/broker.hpp"
#include "simulation/detection_oracle.hpp"
#include "simulation/device.hpp"
#include "simulation/fleet_setup.hpp"
#include "simulation/forger.hpp"
#include "simulation/group_oracle.hpp"
#include "simulation/network.hpp"
#include "simulation/pager.hpp"
#include "simulation/ports_model.hpp"
#include "simulation/process.hpp"
#include "simulation/proof_oracle.hpp"
#include "simulation/relay_oracle.hpp"

namespace fleetward::simulation {

class SystemWorld {
 public:
  static constexpr std::string_view name = "system";

  explicit SystemWorld(std::uint64_t seed);
  ~SystemWorld();
  SystemWorld(const SystemWorld&) = delete;
  SystemWorld& operator=(const SystemWorld&) = delete;

  // Trouble, then calm. What was found to be wrong; empty: nothing.
  const std::string& run();
  Universe& universe() { return universe_; }
  [[nodiscard]] const DetectionOracle& detection() const { return detection_; }
  [[nodiscard]] const AccessOracle& access() const { return access_; }
  [[nodiscard]] const ActionOracle& actions() const { return actions_; }
  [[nodiscard]] const GroupOracle& groups() const { return groups_; }
  [[nodiscard]] const RelayOracle& relays() const { return relays_; }
  [[nodiscard]] const ProofOracle& proofs() const { return proofs_; }
  [[nodiscard]] const Pager& pager() const { return *pager_; }
  [[nodiscard]] int crashes() const { return crashes_; }
  [[nodiscard]] int forged() const { return forger_.forged(); }
  [[nodiscard]] std::size_t verified() const;

 private:
  struct Role {
    std::string name;
    std::string address;
    void (SystemWorld::*start)(Process&, const Role&);
    bool is_guest = false;             // comes for a while and goes
    std::unique_ptr<Process> process;  // null: it is down
  };

  // system_world.cpp
  void add_roles();
  void start_bus();
  void start_all();
  void start(Role& role);
  void crash(Role& role);
  void leave(Role& role);
  void crash_all();
  void trouble();
  Millis some_outage(const Role& role);
  void come_and_go();
  void disturb(Loop& loop);
  void forge();
  void at_rest();
  void check_device(const Device& device);
  void check_pages();
  void check_tables();
  // system_roles.cpp
  void start_gateway(Process& process, const Role& role);
  void start_detector(Process& process, const Role& role);
  void start_responder(Process& process, const Role& role);
  void start_relay(Process& process, const Role& role);
  void start_notifier(Process& process, const Role& role);
  void start_pki(Process& process, const Role& role);
  void make_devices();
  void infect();
  void operate();
  void decide_by_hand(const fleet::Action& action);

  Universe universe_;
  BusFaults bus_faults_;
  StoreFaults store_faults_;
  NetworkFaults network_faults_;
  DurableLog log_;
  Ghosts ghosts_;
  std::int32_t partitions_;
  SharedStore store_;
  FleetSetup fleet_;
  DetectionOracle detection_;
  PortsModel model_;
  AccessOracle access_;
  ActionOracle actions_;
  Forger forger_;
  ScratchFolder folder_;
  SimNetwork network_;
  GroupOracle groups_;
  RelayOracle relays_;
  ProofOracle proofs_;
  Loop loop_;         // of the trouble and the operator
  Loop device_loop_;  // of all devices
  Loop pager_loop_;
  std::vector<std::unique_ptr<Broker>> brokers_;  // the last one lives
  std::vector<Role> roles_;
  std::vector<std::unique_ptr<Process>> graveyard_;
  std::unique_ptr<Pager> pager_;
  std::vector<std::unique_ptr<Device>> devices_;
  Millis checkpoint_every_;
  Millis session_timeout_;
  Millis relay_lease_;
  bool then_revoke_;
  std::int64_t disturb_one_in_;
  std::uint64_t incarnations_ = 0;
  bool in_trouble_ = true;
  int crashes_ = 0;
};

}  // namespace fleetward::simulation
