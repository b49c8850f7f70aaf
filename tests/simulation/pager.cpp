#include "simulation/pager.hpp"

namespace fleetward::simulation {

Pager::Pager(Universe& universe, Loop& loop, const net::Endpoint& at, std::function<bool()> refuses)
    : universe_(universe), refuses_(std::move(refuses)) {
  auto opened = http::Server::open(
      loop, at, nullptr, [this](http::Request request) { return handle(std::move(request)); }, metrics_);
  if (!opened) std::abort();
  server_ = std::move(*opened);
}

async::Task<http::Response> Pager::handle(http::Request request) {
  if (refuses_()) co_return http::text_response(503, "later\n");
  const auto alerts = json::parse(request.body, {1 << 20, 32});
  if (!alerts || !alerts->is_array()) {
    universe_.fail("a page is not a list of alerts");
    co_return http::text_response(400, "no\n");
  }
  for (const json::Value& alert : *alerts) take(alert);
  // Taken, and the answer is lost: it comes again.
  if (refuses_()) co_return http::text_response(503, "later\n");
  co_return http::text_response(200, "{}");
}

void Pager::take(const json::Value& alert) {
  const std::string labels = json::dump(alert.at("labels"));
  const std::string incident = alert.at("labels").at("incident").get<std::string>();
  const auto ends_at = parse_rfc3339(alert.at("endsAt").get<std::string>());
  Page& page = pages_[incident];
  if (page.times > 0 && page.labels != labels)
    universe_.fail("an incident was paged under two identities: " + page.labels + " and " + labels);
  page.labels = labels;
  page.ends_at = ends_at ? *ends_at : Instant();
  ++page.times;
  // Not which: a forged record's is called by its certificate.
  universe_.note("page: until " + to_rfc3339(page.ends_at));
}

}  // namespace fleetward::simulation
