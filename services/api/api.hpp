// The api role: the Device Defender API (SigV4 or bearer token) at the root paths, our own resources under /v1, over
// HTTPS.
//
// Each call is one store transaction with its audit row; what needs the certificate authority asks by a row and waits
// for seconds. Lives on its scheduler; start() and stop() from another thread. Limits: bodies of 1 MiB, lists of 250
// items a page.
#pragma once

#include <memory>
#include <string>

#include "auth/credentials.hpp"
#include "bus/bus.hpp"
#include "crypto/random.hpp"
#include "fleet/names.hpp"
#include "metrics/metrics.hpp"
#include "net/connection.hpp"
#include "store/store.hpp"

namespace fleetward::api {

struct ApiConfig {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8443;
  std::string certificate_chain_pem;
  std::string private_key_pem;
  fleet::Installation installation;
  std::string mqtt_endpoint = "localhost";  // what DescribeEndpoint answers
  std::string own_authorities_pem;          // ours, which nobody else may register
  Millis sign_limit{10'000};
};

class Api {
 public:
  Api(ApiConfig config, auth::Credentials credentials, store::Store& store, bus::Bus& bus, async::Scheduler& scheduler,
      metrics::Registry& metrics, crypto::Random& random);
  ~Api();

  Status start();
  void stop(Millis limit);
  // For connections from now on; those that are open stay. Between start() and stop(). An error: nothing has changed.
  Status set_tls(const net::TlsMaterial& material);
  [[nodiscard]] Status ready() const;        // thread-safe
  [[nodiscard]] std::uint16_t port() const;  // thread-safe

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::api
