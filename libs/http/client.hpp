// HTTP/1.1 client: one request, one answer, one connection. No redirects are followed.
#pragma once

#include "async/scope.hpp"
#include "http/message.hpp"
#include "http/parser.hpp"

namespace fleetward::http {

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  Headers headers;
  std::string body;
};

struct ClientOptions {
  std::shared_ptr<const net::TlsContext> tls;  // needed for https: whom to trust; its server name is the URL's host
  std::string
      address;  // an IP address to connect to instead of resolving the URL's host, which stays the name asked for
  Millis timeout{10'000};  // for all of it
  ParserLimits limits{64 << 10, 16 << 20};
};

// unavailable: could not connect, or the connection broke (a retry may help); deadline_exceeded; invalid_argument: the
// URL, or an answer that is not HTTP; resource_exhausted: an answer over the limits. Any status is a good result.
async::Task<Result<Response>> request(async::Scheduler& scheduler, ClientRequest what, ClientOptions options);

// A TLS context that trusts `ca_pem` for the host of `url`.
Result<std::shared_ptr<const net::TlsContext>> tls_for(std::string_view url, const std::string& ca_pem);

}  // namespace fleetward::http
