// One server process: backends, threads, the roles that were asked for, and the health listener, in order.
//
// Owns all of it; lives on the main thread. Threads: one each for the gateway, the detector and the control roles,
// beside those of the backends. Order: backends, outbox relay, roles (the gateway last: devices connect when all else
// works).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/scheduler.hpp"
#include "crypto/random.hpp"
#include "metrics/metrics.hpp"
#include "repository/outbox_relay.hpp"
#include "runtime/module.hpp"
#include "runtime/operations.hpp"
#include "services/fleetward/embedded.hpp"
#include "services/fleetward/settings.hpp"

namespace fleetward::program {

// What a role is made with. All of it outlives the role.
struct Parts {
  const Settings& settings;
  metrics::Registry& metrics;
  bus::Bus& bus;
  store::Store& store;
  async::Scheduler& gateway_loop;
  async::Scheduler& detector_loop;
  async::Scheduler& control_loop;
  crypto::Random& random;
};

struct Role {
  std::string_view name;
  Result<runtime::Module> (*make)(const Parts& parts);
};

// In the order of their start.
const std::vector<Role>& all_roles();

class Process {
 public:
  explicit Process(const Settings& settings);
  ~Process();

  // The roles by name. On an error nothing runs any more.
  Status start(const std::vector<std::string>& roles);
  // False when something did not end in its limit: then end the process without destroying this.
  bool stop();
  [[nodiscard]] bool is_ready() const { return modules_.is_ready(); }

 private:
  Status add_roles(const std::vector<std::string>& roles);
  void add_relay();

  const Settings& settings_;
  metrics::Registry metrics_;
  Backends backends_;
  crypto::SystemRandom random_;
  async::LoopThread gateway_loop_;
  async::LoopThread detector_loop_;
  async::LoopThread control_loop_;
  runtime::Modules modules_;
  runtime::OperationsServer operations_;
};

}  // namespace fleetward::program
