// A network in virtual time, under the net::connect() and net::Listener::open() of production code.
//
// Carries bytes late, in pieces and in order; breaks connections; leaves them half open, so that neither end hears of
// it. Bytes are for the receiver's loop: who is dead or stands still receives nothing.
//
// TLS is stood in for: the peers' certificates are shown to one another as TLS would, the server is asked for its
// verdict on the client's, and the bytes go in the clear. Signatures, chains and names are not checked, so that a seed
// is the same run on every machine and day. Session and alert code of net has its own tests.
#pragma once

#include <map>

#include "net/connection.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

struct NetworkFaults {
  std::int64_t break_one_in = 0;      // of chunks sent: the connection is reset
  std::int64_t half_open_one_in = 0;  // of chunks sent: from now on nothing arrives any more
  std::int64_t refuse_one_in = 0;     // of connects
  Millis late_max{2};
};

class SimConnection;
class SimListener;

class SimNetwork final : public net::Transport {
 public:
  SimNetwork(Universe& universe, const NetworkFaults& faults);
  ~SimNetwork() override;

  std::shared_ptr<net::Connection> connect(async::Scheduler& scheduler, const net::Endpoint& to,
                                           std::shared_ptr<const net::TlsContext> tls,
                                           net::Connection::Callbacks callbacks,
                                           net::ConnectionOptions options) override;
  Result<std::unique_ptr<net::Listener>> open(async::Scheduler& scheduler, const net::Endpoint& at,
                                              std::shared_ptr<const net::TlsContext> tls,
                                              net::Listener::Accepted accepted, net::ListenerOptions options) override;

  void attach(Loop& loop, std::string address);
  // Its process has died: its ends of connections go, the other ends are told now, later or never.
  void forget(Loop& loop);

  // What a server's end writes, before it is sent: for oracles. The certificate is the client's.
  struct ServerWrite {
    const Loop& server;
    std::uint64_t connection = 0;
    ByteView client_certificate;
    ByteView bytes;
  };
  std::function<void(const ServerWrite&)> on_server_write;
  // Whether the server's end of the connection is open.
  [[nodiscard]] bool is_open(std::uint64_t connection) const;

 private:
  friend class SimConnection;
  friend class SimListener;

  void arrive(const std::shared_ptr<SimConnection>& client, std::shared_ptr<const net::TlsContext> tls);
  void shake_hands(const std::shared_ptr<SimConnection>& client, const std::shared_ptr<SimConnection>& server,
                   ByteView client_certificate, ByteView server_certificate);
  [[nodiscard]] Millis late() { return universe_.choice().millis(0, faults_.late_max.count()); }

  Universe& universe_;
  const NetworkFaults& faults_;
  std::map<const async::Scheduler*, std::pair<Loop*, std::string>> loops_;  // looked up, never gone through
  std::map<std::string, SimListener*> listeners_;                           // by endpoint
  std::map<std::uint64_t, std::shared_ptr<SimConnection>> connections_;     // until they have ended
  std::uint64_t last_connection_ = 0;
};

}  // namespace fleetward::simulation
