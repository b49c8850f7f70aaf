#include "http/server.hpp"

#include <map>
#include <set>

#include "log/log.hpp"

namespace fleetward::http {
namespace {

constexpr std::size_t pipelined_bytes_max = 64 << 10;
constexpr std::size_t small_answer_bytes = 256 << 10;  // as much as is written without waiting for the reader
constexpr std::size_t displaced_max = 64;  // that are on their way out while others have come in their place

class ServerConnection;

}  // namespace

struct Server::State {
  State(async::Scheduler& s, Handler h, metrics::Registry& m, ServerOptions o)
      : scheduler(s), handler(std::move(h)), options(std::move(o)), scope(s, options.name), registry(m) {}

  metrics::Counter& refused(std::string_view reason) {
    return registry.counter("fleetward_http_refused_total", "Requests or connections refused before their handler.",
                            {{"server", options.name}, {"reason", std::string(reason)}});
  }

  async::Scheduler& scheduler;
  Handler handler;
  ServerOptions options;
  async::Scope scope;
  metrics::Registry& registry;
  std::unique_ptr<net::Listener> listener;
  std::set<std::shared_ptr<ServerConnection>> connections;
  // Those without a request that is being answered, longest first: whose request has not begun, and whose has.
  using Waiting = std::map<std::uint64_t, ServerConnection*>;
  Waiting idle, begun;
  std::uint64_t turn = 0;
  std::uint64_t refused_by_listener = 0;
  std::uint64_t accept_failures = 0;
  std::size_t draining_bytes = 0;
  bool stopping = false;
};

namespace {

class ServerConnection : public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(std::shared_ptr<Server::State> server, std::shared_ptr<net::Connection> connection)
      : server_(std::move(server)), connection_(std::move(connection)), parser_(server_->options.limits) {}

  void start() {
    const auto self = shared_from_this();
    wait_among(&server_->idle);
    net::Connection::Callbacks callbacks;
    callbacks.open = [self](const net::TlsInfo&) { self->arm(self->server_->options.idle_timeout); };
    callbacks.data = [self](ByteView bytes) { self->on_data(as_text(bytes)); };
    callbacks.closed = [self](const Error&) { self->on_closed(); };
    callbacks.drained = [self] { self->on_drained(); };
    connection_->set_callbacks(std::move(callbacks));
  }

  void stop_when_idle() {
    if (!busy_) connection_->close();
  }

  void give_way() {
    wait_among(nullptr);
    closing_ = true;
    server_->refused("displaced").add();
    connection_->abort();
  }

 private:
  // nullptr: it does not wait for a request.
  void wait_among(Server::State::Waiting* those) {
    if (waiting_ != nullptr) waiting_->erase(turn_);
    waiting_ = those;
    if (those == nullptr) return;
    turn_ = ++server_->turn;
    those->emplace(turn_, this);
  }

  void on_closed() {
    wait_among(nullptr);
    note_draining(0);
    server_->scheduler.cancel(timer_);
    closed_ = true;
    server_->connections.erase(shared_from_this());
  }

  void arm(Millis limit) {
    server_->scheduler.cancel(timer_);
    std::weak_ptr<ServerConnection> weak = weak_from_this();
    timer_ = server_->scheduler.call_after(limit, [weak] {
      const auto self = weak.lock();
      if (!self || (self->busy_ && !self->draining_)) return;
      self->server_->refused(self->begun_ || self->draining_ ? "slow" : "idle").add();
      self->connection_->abort();
    });
  }

  void on_data(std::string_view bytes) {
    if (closing_) return;
    if (busy_) {
      pending_.append(bytes);
      if (pending_.size() > pipelined_bytes_max) connection_->pause_reading();
      return;
    }
    consume(bytes);
  }

  void consume(std::string_view bytes) {
    if (!begun_ && !bytes.empty()) {
      begun_ = true;
      wait_among(&server_->begun);
      arm(server_->options.request_timeout);
    }
    const Result<std::size_t> used = parser_.put(bytes);
    if (!used) return refuse(used.error());
    if (!parser_.is_done()) {
      if (parser_.expects_continue() && !std::exchange(continued_, true))
        connection_->write("HTTP/1.1 100 Continue\r\n\r\n");
      return;
    }
    pending_.append(bytes.substr(*used));
    handle();
  }

  void refuse(const Error& error) {
    const bool large = error.code == ErrorCode::resource_exhausted;
    server_->refused(large ? "too_large" : "malformed").add();
    const int status = !large ? 400 : parser_.header_too_large() ? 431 : 413;
    send(text_response(status, error.message + "\n"), false, false);
  }

  void handle() {
    busy_ = true;
    wait_among(nullptr);
    begun_ = continued_ = false;
    server_->scheduler.cancel(timer_);
    keep_alive_ =
        parser_.keep_alive() && ++requests_ < server_->options.requests_per_connection_max && !server_->stopping;
    Request request = parser_.take();
    request.peer = connection_->peer();
    to_head_ = request.method == "HEAD";
    server_->scope.spawn("request", run(shared_from_this(), std::move(request)));
  }

  static async::Task<void> run(std::shared_ptr<ServerConnection> self, Request request) {
    const std::chrono::nanoseconds start = self->server_->scheduler.steady_now();
    const std::string method = request.method;
    const std::string path(request.path());  // without the query, which may hold a signature
    Response response = co_await self->server_->handler(std::move(request));
    const double seconds = std::chrono::duration<double>(self->server_->scheduler.steady_now() - start).count();
    self->server_->registry
        .histogram("fleetward_http_request_seconds", "Time from the whole request to its answer.",
                   metrics::latency_bounds(), {{"server", self->server_->options.name}})
        .observe(seconds);
    self->server_->registry
        .counter("fleetward_http_requests_total", "Requests answered.",
                 {{"server", self->server_->options.name}, {"status", std::to_string(response.status / 100) + "xx"}})
        .add();
    log::debug("http_request", {{"server", self->server_->options.name},
                                {"method", method},
                                {"path", path},
                                {"status", response.status},
                                {"seconds", seconds}});
    if (self->closed_) co_return;
    if (!self->may_wait(response.body.size())) {
      self->server_->refused("slow_readers").add();
      self->send(text_response(503, "too many answers wait for slow readers\n"), false, self->to_head_);
    } else {
      self->send(response, self->keep_alive_ && !self->server_->stopping, self->to_head_);
    }
    self->after_answer(response.body.size());
  }

  // Whether an answer may be queued that may have to wait for its reader.
  [[nodiscard]] bool may_wait(std::size_t bytes) const {
    return bytes <= small_answer_bytes || server_->draining_bytes + bytes <= server_->options.draining_bytes_max;
  }

  void note_draining(std::size_t bytes) {
    server_->draining_bytes -= std::exchange(draining_bytes_, bytes);
    server_->draining_bytes += bytes;
  }

  // The next request waits until this one's answer is on its way: pipelining cannot heap up answers.
  void after_answer(std::size_t bytes) {
    draining_ = !closing_ && !connection_->can_write();
    if (draining_) note_draining(bytes);
    busy_ = draining_;
    if (draining_) return arm(server_->options.request_timeout);
    if (!closing_) next();
  }

  void on_drained() {
    if (!std::exchange(draining_, false)) return;
    note_draining(0);
    busy_ = false;
    if (server_->stopping) return connection_->close();
    next();
  }

  void send(const Response& response, bool keep_alive, bool to_head) {
    connection_->write(serialize(response, keep_alive, to_head));
    if (keep_alive) return;
    closing_ = true;
    connection_->close();
  }

  void next() {
    wait_among(&server_->idle);
    arm(server_->options.idle_timeout);
    connection_->resume_reading();
    if (pending_.empty()) return;
    const std::string bytes = std::exchange(pending_, {});
    consume(bytes);
  }

  std::shared_ptr<Server::State> server_;
  std::shared_ptr<net::Connection> connection_;
  RequestParser parser_;
  Server::State::Waiting* waiting_ = nullptr;  // where it stands at turn_
  std::uint64_t turn_ = 0;
  std::size_t draining_bytes_ = 0;
  std::string pending_;  // of requests after the one that is being handled
  async::TimerId timer_ = async::no_timer;
  std::size_t requests_ = 0;
  bool begun_ = false;
  bool continued_ = false;
  bool busy_ = false;
  bool draining_ = false;  // the answer is written and waits for a slow reader
  bool keep_alive_ = true;
  bool to_head_ = false;
  bool closing_ = false;
  bool closed_ = false;
};

// Whether there is room for one more.
bool make_room(Server::State& server) {
  if (server.connections.size() < server.options.connections_max) return true;
  Server::State::Waiting& those = server.idle.empty() ? server.begun : server.idle;
  if (those.empty()) {
    server.refused("connections_max").add();
    return false;
  }
  const auto first = those.begin()->second->shared_from_this();
  first->give_way();
  return true;
}

void take(const std::shared_ptr<Server::State>& server, std::shared_ptr<net::Connection> connection) {
  const std::uint64_t refused = server->listener->refused();
  server->refused("connections_max").add(refused - std::exchange(server->refused_by_listener, refused));
  const std::uint64_t failures = server->listener->accept_failures();
  server->registry
      .counter("fleetward_http_accept_failures_total",
               "Times that no connection could be taken: out of file descriptors.", {{"server", server->options.name}})
      .add(failures - std::exchange(server->accept_failures, failures));
  if (!make_room(*server)) return connection->abort();
  auto handled = std::make_shared<ServerConnection>(server, std::move(connection));
  server->connections.insert(handled);
  handled->start();
}

}  // namespace

Server::Server(std::shared_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::open(async::Scheduler& scheduler, const net::Endpoint& at,
                                             std::shared_ptr<const net::TlsContext> tls, Handler handler,
                                             metrics::Registry& metrics, ServerOptions options) {
  auto state = std::make_shared<State>(scheduler, std::move(handler), metrics, std::move(options));
  net::ListenerOptions listening;
  listening.connections_max = state->options.connections_max + displaced_max;
  listening.connection.write_queue_bytes_max = 64 << 20;  // a large CRL is one answer
  std::weak_ptr<State> weak = state;
  auto accepted = [weak](std::shared_ptr<net::Connection> connection) {
    const auto server = weak.lock();
    if (!server) return connection->abort();
    take(server, std::move(connection));
  };
  auto listener = net::Listener::open(scheduler, at, std::move(tls), accepted, listening);
  if (!listener) return listener.error();
  state->listener = std::move(*listener);
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::uint16_t Server::port() const { return state_->listener->port(); }

void Server::set_tls(std::shared_ptr<const net::TlsContext> tls) { state_->listener->set_tls(std::move(tls)); }

bool Server::stop(Millis limit) {
  async::run_on(state_->scheduler, [this] {
    state_->stopping = true;
    state_->listener->close();
    const auto connections = state_->connections;  // closing changes the set
    for (const auto& connection : connections) connection->stop_when_idle();
  });
  state_->scope.request_stop();
  const bool all_ended = state_->scope.join(limit);
  // Who does not read its answer holds itself from now on, by its socket, and is not to hold all of this.
  async::run_on(state_->scheduler, [this] { state_->connections.clear(); });
  return all_ended;
}

}  // namespace fleetward::http
