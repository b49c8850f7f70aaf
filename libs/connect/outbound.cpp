#include "connect/outbound.hpp"

#include "net/resolve.hpp"

namespace fleetward::connect {
namespace {

constexpr Millis resolve_limit{3'000};
constexpr std::size_t addresses_tried_max = 3;

}  // namespace

Result<Outbound> Outbound::open(OutboundConfig config) {
  const Result<http::Url> url = http::parse_url(config.url);
  if (!url) return url.error();
  std::shared_ptr<const net::TlsContext> tls;
  if (url->tls) {
    const auto context = http::tls_for(config.url, config.ca_pem);
    if (!context) return context.error().with_context("whom to trust as " + printable(config.url));
    tls = *context;
  }
  return Outbound(std::move(config), *url, std::move(tls));
}

// Every one must be good: which of them a connection takes is not for the name's owner to choose.
async::Task<Result<std::vector<std::string>>> Outbound::addresses(async::Scheduler& scheduler, Millis limit) const {
  auto found = co_await net::resolve(scheduler, url_.host, std::min(limit, resolve_limit));
  if (!found) co_return found.error();
  for (const std::string& one : *found) {
    if (config_.allow_private || net::is_public_address(one)) continue;
    co_return Error(
        ErrorCode::permission_denied,
        fmt::format("{} leads to {}, which is not of the public internet: allow private addresses for it if that is "
                    "meant",
                    printable(url_.host), one));
  }
  if (found->size() > addresses_tried_max) found->resize(addresses_tried_max);
  co_return found;
}

async::Task<Result<http::Response>> Outbound::request(async::Scheduler& scheduler, http::ClientRequest what,
                                                      http::ParserLimits limits, Millis limit) const {
  const auto begun = scheduler.steady_now();
  const Result<std::vector<std::string>> places = co_await addresses(scheduler, limit);
  if (!places) co_return places.error();
  what.url = config_.url;
  http::ClientOptions options;
  options.tls = tls_;
  options.limits = limits;
  Result<http::Response> response = Error(ErrorCode::unavailable, "it has no address");
  for (std::size_t i = 0; i < places->size(); ++i) {
    // The first may lead nowhere (IPv6 that is not routed): half the time is left for the others.
    const Millis spent = std::chrono::duration_cast<Millis>(scheduler.steady_now() - begun);
    const Millis left = std::max(limit - spent, Millis(1));
    options.timeout = i + 1 < places->size() ? left / 2 : left;
    options.address = (*places)[i];
    response = co_await http::request(scheduler, what, options);
    if (response.ok()) co_return response;
  }
  co_return response;
}

}  // namespace fleetward::connect
