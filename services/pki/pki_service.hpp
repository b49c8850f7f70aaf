// The pki role: signs what it is asked to, publishes revocations as CRL and OCSP.
//
// Requests are rows in the store; it is woken by their commit. Revoked certificates are in the next CRL, which is made
// at once, and hourly otherwise, with a next update a week ahead. OCSP answers are signed one by one from the store's
// truth, so a revocation needs no cache to be dropped. The responder's own certificate is renewed here. HTTP (plain by
// nature): /crl/issuing.crl, /ocsp (GET and POST), /ca/issuing.crt, /ca/root.crt. Lives on its scheduler; start() and
// stop() from another thread.
#pragma once

#include <memory>
#include <string>

#include "crypto/key.hpp"
#include "metrics/metrics.hpp"
#include "net/connection.hpp"
#include "pki/ocsp.hpp"
#include "store/store.hpp"

namespace fleetward::pki_role {

struct PkiConfig {
  std::string folder;  // authority files
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;
  std::string public_url = "http://127.0.0.1:8080";  // as it stands in certificates
  Millis device_lifetime = std::chrono::hours(24 * 365);
  Millis probe_lifetime = std::chrono::minutes(5);
  Millis crl_lifetime = std::chrono::hours(24 * 7);
  Millis crl_every = std::chrono::hours(1);
  Millis ocsp_validity = std::chrono::minutes(10);
  int ocsp_per_second_max = 2'000;  // signatures; beyond it the answer is tryLater
};

class PkiService {
 public:
  PkiService(PkiConfig config, store::Store& store, async::Scheduler& scheduler, metrics::Registry& metrics);
  ~PkiService();

  Status start();
  void stop(Millis limit);
  [[nodiscard]] Status ready() const;        // thread-safe
  [[nodiscard]] std::uint16_t port() const;  // thread-safe

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::pki_role
