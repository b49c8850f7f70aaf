// HTTP/1.1 server, plain or TLS, over net::Connection, on one scheduler.
//
// Requests of a connection are answered in order; the handler is a task of the server's scope. Limits: ServerOptions,
// each counted in fleetward_http_refused_total by reason. stop() lets requests that run finish.
//
// Connections that ask nothing keep nobody out: where all are taken, a new one takes the place of the one that has
// waited longest without a request, or else of the one whose request has taken longest to come (`displaced`). Only when
// each has a request that is being answered is the new one refused (`connections_max`).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/scope.hpp"
#include "http/message.hpp"
#include "http/parser.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::http {

struct ServerOptions {
  std::string name = "http";  // label of its metrics
  ParserLimits limits;
  std::size_t connections_max = 1'000;
  std::size_t requests_per_connection_max = 10'000;
  Millis request_timeout{30'000};  // first byte to last
  Millis idle_timeout{60'000};
  // Of answers that wait for slow readers, together: beyond it a large answer is 503 (`slow_readers`).
  std::size_t draining_bytes_max = 256 << 20;
};

class Server {
 public:
  using Handler = std::function<async::Task<Response>(Request)>;

  // Port 0 takes a free one. Call on the scheduler's thread.
  static Result<std::unique_ptr<Server>> open(async::Scheduler& scheduler, const net::Endpoint& at,
                                              std::shared_ptr<const net::TlsContext> tls, Handler handler,
                                              metrics::Registry& metrics, ServerOptions options = {});
  ~Server();

  [[nodiscard]] std::uint16_t port() const;
  // For connections accepted from now on; those that are open keep theirs. On the scheduler's thread.
  void set_tls(std::shared_ptr<const net::TlsContext> tls);
  // Closes the listener and idle connections, waits for running requests. Call from another thread; false: some ran on.
  bool stop(Millis limit);

  struct State;

 private:
  explicit Server(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::http
