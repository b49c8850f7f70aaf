// One server process: backends, threads, the roles that were asked for, and the health listener, in order.
//
// Owns all of it; lives on the main thread. Threads: one each for the gateway, the detector and the control roles,
// beside those of the backends. Order: backends, outbox relay, roles (the gateway last: devices connect when all else
// works).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/scheduler.hpp"
#include "crypto/random.hpp"
#include "metrics/metrics.hpp"
#include "net/tls.hpp"
#include "repository/outbox_relay.hpp"
#include "runtime/module.hpp"
#include "runtime/operations.hpp"
#include "services/fleetward/backends.hpp"
#include "services/fleetward/descriptors.hpp"
#include "services/fleetward/settings.hpp"
#include "services/fleetward/signing_keys.hpp"

namespace fleetward::program {

// What running roles let the process change. Empty where the role does not run.
struct Hooks {
  std::function<void(respond::Playbook)> set_playbook;
  std::vector<std::function<Status(const net::TlsMaterial&)>> set_tls;  // of each role with a TLS listener
  std::vector<std::function<void(SharedSigners)>> set_signers;          // of each that judges signed records
};

// What a role is made with. All of it outlives the role.
struct Parts {
  const Settings& settings;
  metrics::Registry& metrics;
  bus::Bus& bus;
  store::Store* store;    // null unless one of the process's roles has_store
  SharedSigners signers;  // null unless the process judges signed records
  async::Scheduler& gateway_loop;
  async::Scheduler& detector_loop;
  async::Scheduler& control_loop;
  crypto::Random& random;
  Hooks& hooks;
};

struct Role {
  std::string_view name;
  bool has_store;  // who has it not lives by the log alone
  Result<runtime::Module> (*make)(const Parts& parts);
};

// In the order of their start.
const std::vector<Role>& all_roles();
// The names of all, but for those that have nothing to do by these settings.
std::vector<std::string> roles_for(const Settings& settings);
// Whether a process with these roles judges signed records: a gateway by them, whoever has the store as a relay.
bool judges_signatures(const std::vector<std::string>& roles);

class Process {
 public:
  explicit Process(const Settings& settings);
  ~Process();

  struct StartOptions {
    bool accept_empty_store = false;  // a store that was lost is begun anew, knowingly
    bool accept_empty_log = false;    // likewise a log
    Millis ports_limit{5'000};        // how long a predecessor may still hold our ports
  };

  // The roles by name. On an error nothing runs any more.
  Status start(const std::vector<std::string>& roles, StartOptions options);
  Status start(const std::vector<std::string>& roles) { return start(roles, StartOptions()); }
  // False when something did not end in its limit: then end the process without destroying this.
  bool stop();
  [[nodiscard]] bool is_ready() const { return modules_.is_ready(); }

  // What the responder, where it runs, decides by from now on.
  void set_playbook(respond::Playbook playbook);
  // For alarms: the file holds something else than what is in force.
  void set_playbook_stale(bool stale);

  // Whose signed records count from now on.
  void set_signers(const SharedSigners& signers);
  void set_signers_stale(bool stale);

  // What TLS listeners, where they run, show and trust from now on. Sessions stay.
  Status set_tls(const net::TlsMaterial& material);
  // For alarms: when the certificate in force expires; the files hold something else than what is in force.
  void set_tls_facts(std::optional<Instant> not_after, bool stale);
  void show_descriptors() { program::show_descriptors(metrics_); }

 private:
  Status open_backends(const std::vector<std::string>& roles, const StartOptions& options);
  // The store's transactions sign by the keys of these roles.
  Status sign_in_store(const std::vector<std::string>& roles);
  // Both are of one installation, or it was accepted that one was lost.
  Status check_pair(const StartOptions& options);
  Status add_roles(const std::vector<std::string>& roles);
  void add_backends();
  void add_relay();

  const Settings& settings_;
  metrics::Registry metrics_;
  crypto::SystemRandom random_;
  async::LoopThread gateway_loop_;
  async::LoopThread detector_loop_;
  async::LoopThread control_loop_;
  SharedSigners signers_;
  Backends backends_;
  Hooks hooks_;
  runtime::Modules modules_;
  runtime::OperationsServer operations_;
};

}  // namespace fleetward::program
