// Requests to a place that somebody else named: a webhook, the CRL of an authority.
//
// The name is resolved once for each request, every address of it judged, and the connection made to one that was
// judged; redirects are not followed. So who controls a name cannot lead us into the operator's own network: private
// addresses only where the operator's file says so. Limits: those of the request's options, and the time given.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/client.hpp"

namespace fleetward::connect {

struct OutboundConfig {
  std::string url;
  std::string ca_pem;          // whom to trust where the address is https
  bool allow_private = false;  // addresses that are not of the public internet
};

class Outbound {
 public:
  // invalid_argument: not an http(s) address, or nobody to trust for an https one.
  static Result<Outbound> open(OutboundConfig config);

  // The request's own URL is not looked at: it goes where open() was told. permission_denied: the name leads to an
  // address that is not of the public internet; otherwise as http::request().
  async::Task<Result<http::Response>> request(async::Scheduler& scheduler, http::ClientRequest what,
                                              http::ParserLimits limits, Millis limit) const;

  [[nodiscard]] const std::string& url() const { return config_.url; }
  [[nodiscard]] bool is_tls() const { return url_.tls; }

 private:
  Outbound(OutboundConfig config, http::Url url, std::shared_ptr<const net::TlsContext> tls)
      : config_(std::move(config)), url_(std::move(url)), tls_(std::move(tls)) {}
  async::Task<Result<std::vector<std::string>>> addresses(async::Scheduler& scheduler, Millis limit) const;

  OutboundConfig config_;
  http::Url url_;
  std::shared_ptr<const net::TlsContext> tls_;
};

}  // namespace fleetward::connect
