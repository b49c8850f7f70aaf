#include "http/client.hpp"

namespace fleetward::http {
namespace {

// One exchange; lives as long as its connection's callbacks.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  using Done = std::function<void(Result<Response>)>;

  Exchange(async::Scheduler& scheduler, const ClientOptions& options, std::string request, bool to_head, Done done)
      : scheduler_(scheduler), request_(std::move(request)), parser_(options.limits, to_head), done_(std::move(done)) {}

  void start(const net::Endpoint& to, const ClientOptions& options, bool tls) {
    const auto self = shared_from_this();
    net::Connection::Callbacks callbacks;
    callbacks.open = [self](const net::TlsInfo&) { self->connection_->write(self->request_); };
    callbacks.data = [self](ByteView bytes) { self->on_data(as_text(bytes)); };
    callbacks.closed = [self](const Error& error) { self->on_closed(error); };
    timer_ = scheduler_.call_after(options.timeout,
                                   [self] { self->finish(Error(ErrorCode::deadline_exceeded, "no answer in time")); });
    connection_ = net::connect(scheduler_, to, tls ? options.tls : nullptr, std::move(callbacks));
  }

 private:
  void on_data(std::string_view bytes) {
    const Result<std::size_t> used = parser_.put(bytes);
    if (!used) return finish(used.error());
    if (parser_.is_done()) finish(parser_.take());
  }

  void on_closed(const Error& error) {
    if (!done_) return;
    parser_.finish();
    if (parser_.is_done()) return finish(parser_.take());
    finish(Error(ErrorCode::unavailable, error.message));
  }

  void finish(Result<Response> result) {
    if (!done_) return;
    const Done done = std::exchange(done_, {});
    scheduler_.cancel(timer_);
    if (connection_) connection_->abort();
    connection_.reset();
    done(std::move(result));
  }

  async::Scheduler& scheduler_;
  std::string request_;
  ResponseParser parser_;
  Done done_;
  std::shared_ptr<net::Connection> connection_;
  async::TimerId timer_ = async::no_timer;
};

}  // namespace

async::Task<Result<Response>> request(async::Scheduler& scheduler, ClientRequest what, ClientOptions options) {
  const Result<Url> url = parse_url(what.url);
  if (!url) co_return url.error();
  if (url->tls && !options.tls)
    co_return Error(ErrorCode::invalid_argument, "an https address needs to know whom to trust");
  const net::Endpoint to{url->host, url->port};
  const net::Endpoint at{options.address.empty() ? url->host : options.address, url->port};
  Request message{what.method, url->target, std::move(what.headers), std::move(what.body), {}};
  const std::string bytes = serialize(message, net::to_string(to));
  const bool to_head = what.method == "HEAD";
  std::function<void(std::function<void(Result<Response>)>)> start = [&](std::function<void(Result<Response>)> done) {
    std::make_shared<Exchange>(scheduler, options, bytes, to_head, std::move(done))->start(at, options, url->tls);
  };
  Result<Response> result = co_await async::from_callback<Result<Response>>(scheduler, start);
  co_return result;
}

Result<std::shared_ptr<const net::TlsContext>> tls_for(std::string_view url, const std::string& ca_pem) {
  const Result<Url> parsed = parse_url(url);
  if (!parsed) return parsed.error();
  net::TlsClientConfig config;
  config.ca_pem = ca_pem;
  config.server_name = parsed->host;
  return net::TlsContext::for_client(config);
}

}  // namespace fleetward::http
