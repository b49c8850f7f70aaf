// A byte stream to a peer over TCP, plain or in TLS, by callbacks on one scheduler's thread.
//
// TLS runs over memory buffers beside the socket, so an idle connection holds no read buffer. All methods and callbacks
// are for the scheduler's thread; a callback may close or abort the connection. After abort() only `closed` comes, and
// after that nothing more.
//
// Limits: write_queue_bytes_max of ConnectionOptions (beyond it the connection is aborted as a peer that does not
// read); handshake_timeout for TCP connect and TLS handshake together.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/scheduler.hpp"
#include "net/address_range.hpp"
#include "net/tls.hpp"

namespace fleetward::net {

struct Endpoint {
  std::string host;  // an IP address; for connect() also a name
  std::uint16_t port = 0;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};
std::string to_string(const Endpoint& endpoint);  // 127.0.0.1:8883, [::1]:8883

struct ConnectionOptions {
  std::size_t write_queue_bytes_max = 4 << 20;
  std::size_t write_high_water = 256 << 10;  // over it can_write() is false until the queue is empty again
  Millis handshake_timeout{10'000};
  Millis close_timeout{1'000};  // close() waits this long for the peer
};

// What the check of a client's certificate says; the rest is the alert's wording.
enum class PeerVerdict { accept, revoked, unknown, expired };

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Callbacks {
    // Ready for data: connected, and the TLS handshake done.
    std::function<void(const TlsInfo&)> open;
    std::function<void(ByteView)> data;
    // The end; cancelled when we closed it ourselves.
    std::function<void(const Error&)> closed;
    // The write queue ran empty after can_write() had been false. May be empty.
    std::function<void()> drained;
    // Servers, full handshakes only (a resumed one shows the certificate in `open` alone): the client's leaf, whose
    // chain is good. Anything but accept ends the handshake with an alert. May be empty.
    std::function<PeerVerdict(ByteView leaf_der)> verify_peer;
  };

  virtual ~Connection() = default;
  virtual void set_callbacks(Callbacks callbacks) = 0;
  virtual void write(ByteView bytes) = 0;
  void write(std::string_view text) { write(as_bytes(text)); }
  [[nodiscard]] virtual bool can_write() const = 0;
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  virtual void close() = 0;  // sends what is queued first
  virtual void abort() = 0;
  [[nodiscard]] virtual bool is_open() const = 0;
  [[nodiscard]] virtual const Endpoint& peer() const = 0;
};

// Connects; `callbacks.open` or `callbacks.closed` says how it went. Without `tls` the stream is plain.
std::shared_ptr<Connection> connect(async::Scheduler& scheduler, const Endpoint& to,
                                    std::shared_ptr<const TlsContext> tls, Connection::Callbacks callbacks,
                                    ConnectionOptions options = {});

struct ListenerOptions {
  ConnectionOptions connection;
  std::size_t connections_max = 20'000;  // beyond it new ones are closed at once, and counted
  int backlog = 4096;
  // Load balancers: a connection from there begins with a PROXY header (proxy_protocol.hpp) that says who it is for;
  // from elsewhere none is read. Empty: there are none.
  std::vector<AddressRange> proxy_from;
};

// Accepts connections on one address until it is closed or destroyed. Scheduler's thread only, but for port().
class Listener {
 public:
  // `accepted` gets each connection before its handshake and sets its callbacks.
  using Accepted = std::function<void(std::shared_ptr<Connection>)>;
  // Port 0 takes a free one. unavailable: the address is in use or not ours.
  static Result<std::unique_ptr<Listener>> open(async::Scheduler& scheduler, const Endpoint& at,
                                                std::shared_ptr<const TlsContext> tls, Accepted accepted,
                                                ListenerOptions options = {});
  virtual ~Listener() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  // For connections accepted from now on.
  virtual void set_tls(std::shared_ptr<const TlsContext> tls) = 0;
  virtual void close() = 0;
  [[nodiscard]] virtual std::size_t connections() const = 0;
  [[nodiscard]] virtual std::uint64_t refused() const = 0;  // over connections_max
  // Connections from balancers that did not begin with a good header.
  [[nodiscard]] virtual std::uint64_t bad_proxy_headers() const { return 0; }
  // Times that the system gave no connection (out of descriptors): who connects waits meanwhile. One descriptor is kept
  // in reserve, so that one connection at a time is still served.
  [[nodiscard]] virtual std::uint64_t accept_failures() const { return 0; }
};

// Where connections of a scheduler go: the operating system's sockets, unless a simulation has put a network of its own
// in their place.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual std::shared_ptr<Connection> connect(async::Scheduler& scheduler, const Endpoint& to,
                                              std::shared_ptr<const TlsContext> tls, Connection::Callbacks callbacks,
                                              ConnectionOptions options) = 0;
  virtual Result<std::unique_ptr<Listener>> open(async::Scheduler& scheduler, const Endpoint& at,
                                                 std::shared_ptr<const TlsContext> tls, Listener::Accepted accepted,
                                                 ListenerOptions options) = 0;

  // Puts `network` under connect() and Listener::open() of the scheduler; nullptr takes it away. Both outlive that.
  static void put_under(const async::Scheduler& scheduler, Transport* network);
  static Transport* of(const async::Scheduler& scheduler);  // nullptr: sockets
};

}  // namespace fleetward::net
