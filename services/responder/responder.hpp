// The responder role: actions from decision to proof.
//
// Violations become decisions (one transaction a batch, severest first); what gateways say that they enforced is noted;
// what is executing or verifying is proven by new connections and served bytes until its time is over, then it has
// failed. Proven actions are looked at again each minute. Leases end by this role's record. Lives on its scheduler;
// start() and stop() from another thread.
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
  std::string ca_pem;      // trust for the gateways' servers
  std::string issuer_pem;  // the authority that issues device certificates
  std::string pki_url;     // where CRL and OCSP are served to everyone
  Millis verify_limit{10'000};
  Millis look_again{60'000};
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
