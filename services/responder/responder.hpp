// The responder role: actions from decision to proof.
//
// Violations become decisions (one transaction a batch, severest first); what gateways say that they enforced is noted;
// what is executing or verifying is proven by new connections and served bytes until its time is over, then it has
// failed. Only a silent gateway is waited for: until it is back or a person declares it gone. Proven actions are looked
// at again in turn; one that does not hold any more is put in force again. Leases end by this role's record. Lives on
// its scheduler; start() and stop() from another thread.
#pragma once

#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "repository/action_repository.hpp"
#include "store/store.hpp"

namespace fleetward::responder {

struct ResponderConfig {
  std::string instance = "responder-1";
  repository::Policy policy;
  std::string ca_pem;           // trust for the gateways' servers
  std::string issuer_pem;       // the authority that issues device certificates
  std::string pki_url;          // where CRL and OCSP are served to everyone
  std::string stop_file;        // while it exists nothing begins by itself; empty: none
  Millis verify_limit{30'000};  // longer than a broker's failover, in which no answer comes
  Millis look_again{60'000};    // a round over what is proven, and over what waits, begins at most so often
  Millis look_every{1'000};     // for work that nothing woke us for
  Millis leases_every{2'000};
  Millis self_test_every{5 * 60'000};
};

class Responder {
 public:
  Responder(ResponderConfig config, store::Store& store, bus::Bus& bus, async::Scheduler& scheduler,
            metrics::Registry& metrics);
  ~Responder();

  Status start();
  void stop(Millis limit);
  [[nodiscard]] Status ready() const;  // thread-safe
  // What is decided from now on goes by it. From another thread.
  void set_playbook(respond::Playbook playbook);

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::responder
