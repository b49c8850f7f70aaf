// The gateway role: the device connection of a sink endpoint.
//
// TLS with client certificates, identity (certificate to thing by table), MQTT 3.1.1 and 5, topic policy, reports onto
// the bus with PUBACK only when they are durable, replies, cloud-side metrics, enforcement of holds on new and live
// sessions.
//
// It goes by those records of the access and certificate tables alone that a role has signed which may say them; what
// is refused leaves the older true record in force, and is told.
//
// It admits nobody before it has read the access and certificate tables to their end; only while the bus cannot be
// reached does it go by its own snapshot of them. Lives on its scheduler; start() and stop() are called from another
// thread. Limits: GatewayConfig; reaching one is counted.
#pragma once

#include <memory>
#include <string>

#include "access/record_signature.hpp"
#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "mqtt/server_session.hpp"
#include "net/address_range.hpp"
#include "net/tls.hpp"
#include "services/gateway/connection_guard.hpp"

namespace fleetward::gateway {

struct GatewayConfig {
  std::string instance = "gateway-1";
  std::string address = "0.0.0.0";
  std::uint16_t port = 8883;
  std::string probe_host = "127.0.0.1";  // where others reach the listener
  bool enforcing = true;                 // false: says only what it would have done
  std::string certificate_chain_pem;
  std::string private_key_pem;
  std::string client_ca_pem;  // the authority that issues device certificates
  bool resumption = false;
  std::size_t connections_max = 20'000;
  std::vector<net::AddressRange> proxy_from;   // load balancers that say by a PROXY header (version 2) who connects
  std::size_t in_flight_bytes_max = 32 << 20;  // reports under way to the bus: beyond it sockets are not read
  Millis connect_timeout{10'000};              // from the TLS handshake to CONNECT
  Millis metrics_every{5'000};
  Millis heartbeat_every{1'000};
  Millis lease{10'000};
  std::string snapshot_folder;  // empty: none is kept, and a bus that cannot be reached at start admits nobody
  Millis snapshot_age_max{24 * 3'600'000};
  std::shared_ptr<const access::Signers> signers;  // whose table records are gone by; nullptr: everybody's
  mqtt::SessionLimits session;                     // of one connection, its rates among them
  ConnectionLimits connection_limits;              // of an address and of a device, and handshakes in all
  // Of all connections together: beyond them sockets are not read for a while.
  mqtt::Rate messages{100'000, 200'000};
  mqtt::Rate bytes{64 << 20, 128 << 20};
};

class Gateway {
 public:
  Gateway(GatewayConfig config, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics);
  ~Gateway();

  // Starts reading the tables; the listener opens when they have been read. An error: the TLS material is bad.
  Status start();
  // Says goodbye to sessions, brings what is under way to the bus, says that it stops.
  void stop(Millis limit);
  // For handshakes from now on; sessions stay. Between start() and stop(). An error: it is bad, and nothing has
  // changed.
  Status set_tls(const net::TlsMaterial& material);
  // Whose table records are gone by from now on. What is in force stays; what was refused for want of its key is judged
  // anew. Between start() and stop().
  void set_signers(std::shared_ptr<const access::Signers> signers);
  // The listener is open. Thread-safe.
  [[nodiscard]] Status ready() const;
  // 0 until it is open. Thread-safe.
  [[nodiscard]] std::uint16_t port() const;

  struct State;

 private:
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::gateway
