#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>

#include "log/log.hpp"
#include "net/connection_impl.hpp"

namespace fleetward::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr Millis pause_without_descriptors{100};

// A peer that is gone without a word is noticed after idle + count * interval, although it may never have to say
// anything (MQTT 3.1.1 without keep-alive).
constexpr int keep_alive_idle_seconds = 60;
constexpr int keep_alive_interval_seconds = 20;
constexpr int keep_alive_count = 5;

// Accepted sockets inherit it.
void keep_alive(int fd) {
  const auto set = [fd](int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, keep_alive_idle_seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, keep_alive_interval_seconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, keep_alive_count);
  // The same for one that is gone while something was on its way to it: the kernel would try for a quarter of an hour.
  set(IPPROTO_TCP, TCP_USER_TIMEOUT,
      (keep_alive_idle_seconds + keep_alive_count * keep_alive_interval_seconds) * 1'000);
}

// The socket as a connection takes it: non-blocking, and no longer Asio's.
int released(tcp::socket socket) {
  boost::system::error_code ignored;
  socket.native_non_blocking(true, ignored);
  return socket.release(ignored);
}

class TcpListener final : public Listener, public std::enable_shared_from_this<TcpListener> {
 public:
  TcpListener(async::Scheduler& scheduler, std::shared_ptr<const TlsContext> tls, Accepted accepted,
              ListenerOptions options)
      : scheduler_(scheduler),
        acceptor_(scheduler.executor()),
        tls_(std::move(tls)),
        accepted_(std::move(accepted)),
        options_(options) {}

  Status bind(const Endpoint& at) {
    boost::system::error_code error;
    const auto address = asio::ip::make_address(at.host, error);
    if (error)
      return Error(ErrorCode::invalid_argument,
                   fmt::format("{} is not an IP address to listen on", printable(at.host)));
    const tcp::endpoint endpoint(address, at.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && address.is_v6() && !address.is_unspecified()) acceptor_.set_option(asio::ip::v6_only(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(options_.backlog, error);
    if (error) return Error(ErrorCode::unavailable, fmt::format("listen on {}: {}", to_string(at), error.message()));
    keep_alive(acceptor_.native_handle());
    port_ = acceptor_.local_endpoint().port();
    keep_spare();
    return {};
  }

  void start() {
    open_->listener = weak_from_this();
    accept();
  }

  void accept() {
    acceptor_.async_accept([self = shared_from_this()](const boost::system::error_code& error, tcp::socket socket) {
      if (self->closed_) return;
      if (error) return self->accept_later(error);
      self->take(std::move(socket));
      if (self->spare_ >= 0 && std::exchange(self->failing_, false))
        log::info("accepting_again", {{"port", self->port_}});
      self->keep_spare();
      self->accept();
    });
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }
  void set_tls(std::shared_ptr<const TlsContext> tls) override { tls_ = std::move(tls); }
  // Again from wherever its owner goes: then it only looks, while the last accept may still do the same.
  void close() override {
    if (closed_) return;
    closed_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    accepted_ = {};
    give_spare();
  }
  ~TcpListener() override { give_spare(); }
  [[nodiscard]] std::size_t connections() const override { return open_->connections; }
  [[nodiscard]] std::uint64_t refused() const override { return refused_; }
  [[nodiscard]] std::uint64_t bad_proxy_headers() const override { return bad_proxy_headers_; }
  [[nodiscard]] std::uint64_t accept_failures() const override { return accept_failures_; }

 private:
  // Shared with connections, which may outlive the listener.
  struct Open {
    std::size_t connections = 0;
    std::weak_ptr<TcpListener> listener;
  };

  // A descriptor for when there is none left. Taken back at once when a connection ends, or those that wait elsewhere
  // in this process would have it.
  void keep_spare() {
    if (spare_ < 0 && !closed_) spare_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  }
  bool give_spare() {
    const int fd = std::exchange(spare_, -1);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }

  // Out of file descriptors, for instance: the spare one serves whoever is next; when it is in use, those that wait in
  // the backlog are taken when there is room again.
  void accept_later(const boost::system::error_code& error) {
    ++accept_failures_;
    if (!std::exchange(failing_, true)) log::warn("accept_failed", {{"port", port_}, {"error", error.message()}});
    if (give_spare()) return accept();
    std::weak_ptr<TcpListener> weak = weak_from_this();
    scheduler_.call_after(pause_without_descriptors, [weak] {
      const auto self = weak.lock();
      if (!self || self->closed_) return;
      self->keep_spare();
      self->accept();
    });
  }

  void take(tcp::socket socket) {
    boost::system::error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error) return;  // gone again
    if (open_->connections >= options_.connections_max) {
      ++refused_;
      return;  // closes it
    }
    ++open_->connections;
    auto connection = std::make_shared<SocketConnection>(
        scheduler_, Endpoint{remote.address().to_string(), remote.port()}, options_.connection);
    connection->on_end = [open = open_] {
      --open->connections;
      if (const auto listener = open->listener.lock()) listener->keep_spare();
    };
    if (tls_) connection->use_tls(tls_, TlsSession::Role::server);
    connection->arm_handshake_timer();
    const int fd = released(std::move(socket));
    if (contains(options_.proxy_from, remote.address().to_string())) return take_behind_proxy(connection, fd);
    accepted_(connection);
    connection->start(fd);
  }

  // Who it is for is known only behind the header: its owner hears of it then.
  void take_behind_proxy(const std::shared_ptr<SocketConnection>& connection, int fd) {
    std::weak_ptr<SocketConnection> weak = connection;
    connection->start_behind_proxy(fd, [self = shared_from_this(), weak](bool good) {
      const auto known = weak.lock();
      if (!good) ++self->bad_proxy_headers_;
      if (!good || !known) return;
      if (self->closed_) return known->abort();
      self->accepted_(known);
    });
  }

  async::Scheduler& scheduler_;
  tcp::acceptor acceptor_;
  std::shared_ptr<const TlsContext> tls_;
  Accepted accepted_;
  ListenerOptions options_;
  std::uint16_t port_ = 0;
  bool closed_ = false;
  std::shared_ptr<Open> open_ = std::make_shared<Open>();
  std::uint64_t refused_ = 0;
  std::uint64_t bad_proxy_headers_ = 0;
  std::uint64_t accept_failures_ = 0;
  int spare_ = -1;
  bool failing_ = false;
};

// The handle that users own: the listener itself lives as long as its pending accept.
class ListenerHandle final : public Listener {
 public:
  explicit ListenerHandle(std::shared_ptr<TcpListener> listener) : listener_(std::move(listener)) {}
  ~ListenerHandle() override { listener_->close(); }
  [[nodiscard]] std::uint16_t port() const override { return listener_->port(); }
  void set_tls(std::shared_ptr<const TlsContext> tls) override { listener_->set_tls(std::move(tls)); }
  void close() override { listener_->close(); }
  [[nodiscard]] std::size_t connections() const override { return listener_->connections(); }
  [[nodiscard]] std::uint64_t refused() const override { return listener_->refused(); }
  [[nodiscard]] std::uint64_t bad_proxy_headers() const override { return listener_->bad_proxy_headers(); }
  [[nodiscard]] std::uint64_t accept_failures() const override { return listener_->accept_failures(); }

 private:
  std::shared_ptr<TcpListener> listener_;
};

// Resolves the name, then tries its addresses in turn.
class Connector : public std::enable_shared_from_this<Connector> {
 public:
  Connector(async::Scheduler& scheduler, std::shared_ptr<SocketConnection> connection)
      : resolver_(scheduler.executor()), socket_(scheduler.executor()), connection_(std::move(connection)) {}

  void run(const Endpoint& to) {
    std::weak_ptr<Connector> weak = shared_from_this();
    connection_->on_end = [weak] {
      if (const auto self = weak.lock()) self->give_up();
    };
    boost::system::error_code not_an_address;
    const auto address = asio::ip::make_address(to.host, not_an_address);
    if (!not_an_address) {
      addresses_.emplace_back(address, to.port);
      return next();
    }
    resolver_.async_resolve(
        to.host, std::to_string(to.port), [self = shared_from_this()](const auto& error, const auto& results) {
          if (self->given_up_) return;
          if (error)
            return self->connection_->end(Error(ErrorCode::unavailable, "cannot resolve the name: " + error.message()));
          for (const auto& entry : results) self->addresses_.push_back(entry.endpoint());
          self->next();
        });
  }

 private:
  void next() {
    if (tried_ == addresses_.size())
      return connection_->end(Error(ErrorCode::unavailable, "cannot connect: " + last_error_));
    boost::system::error_code ignored;
    socket_.close(ignored);
    socket_.async_connect(addresses_[tried_++], [self = shared_from_this()](const auto& error) {
      if (self->given_up_) return;
      if (!error) return self->connection_->start(released(std::move(self->socket_)));
      self->last_error_ = error.message();
      self->next();
    });
  }

  // It was ended meanwhile.
  void give_up() {
    given_up_ = true;
    boost::system::error_code ignored;
    resolver_.cancel();
    socket_.close(ignored);
  }

  tcp::resolver resolver_;
  tcp::socket socket_;
  bool given_up_ = false;
  std::shared_ptr<SocketConnection> connection_;
  std::vector<tcp::endpoint> addresses_;
  std::size_t tried_ = 0;
  std::string last_error_ = "no address";
};

}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(async::Scheduler& scheduler, const Endpoint& at,
                                                 std::shared_ptr<const TlsContext> tls, Accepted accepted,
                                                 ListenerOptions options) {
  if (Transport* network = Transport::of(scheduler)) {
    return network->open(scheduler, at, std::move(tls), std::move(accepted), options);
  }
  auto listener = std::make_shared<TcpListener>(scheduler, std::move(tls), std::move(accepted), options);
  if (const Status bound = listener->bind(at); !bound) return bound.error();
  listener->start();
  return std::unique_ptr<Listener>(std::make_unique<ListenerHandle>(std::move(listener)));
}

std::shared_ptr<Connection> connect(async::Scheduler& scheduler, const Endpoint& to,
                                    std::shared_ptr<const TlsContext> tls, Connection::Callbacks callbacks,
                                    ConnectionOptions options) {
  if (Transport* network = Transport::of(scheduler)) {
    return network->connect(scheduler, to, std::move(tls), std::move(callbacks), options);
  }
  auto connection = std::make_shared<SocketConnection>(scheduler, to, options);
  if (tls) connection->use_tls(std::move(tls), TlsSession::Role::client);
  connection->set_callbacks(std::move(callbacks));
  connection->arm_handshake_timer();
  std::make_shared<Connector>(scheduler, connection)->run(to);
  return connection;
}

}  // namespace fleetward::net
