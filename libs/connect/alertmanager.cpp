#include "connect/alertmanager.hpp"

#include "core/text.hpp"
#include "http/client.hpp"
#include "incident/incident.hpp"
#include "json/json.hpp"

namespace fleetward::connect {
namespace {

json::Value alert_json(const Alert& alert) {
  const incident::PageText text = incident::page_text(alert.incident);
  json::Value out = {{"labels",
                      {{"alertname", "FleetwardIncident"},
                       {"incident", alert.incident.id},
                       {"severity", alert.incident.severity},
                       {"entry", alert.incident.entry}}},
                     {"annotations", {{"summary", text.summary}, {"description", text.description}}},
                     {"startsAt", to_rfc3339(alert.incident.window_start)},
                     {"endsAt", to_rfc3339(std::max(alert.ends_at, alert.incident.window_start))}};
  if (!text.commands.empty()) out["annotations"]["commands"] = text.commands;
  if (!alert.link.empty()) {
    out["annotations"]["link"] = alert.link;
    out["generatorURL"] = alert.link;
  }
  return out;
}

}  // namespace

Result<Alertmanager> Alertmanager::open(const std::string& url, const std::string& ca_pem) {
  std::string base = url;
  while (base.ends_with('/')) base.pop_back();
  const Result<http::Url> parsed = http::parse_url(base);
  if (!parsed) return parsed.error().with_context("Alertmanager");
  std::shared_ptr<const net::TlsContext> tls;
  if (parsed->tls) {
    const auto context = http::tls_for(base, ca_pem);
    if (!context) return context.error().with_context("whom to trust as " + printable(base));
    tls = *context;
  }
  return Alertmanager(std::move(base), std::move(tls));
}

async::Task<Status> Alertmanager::post(async::Scheduler& scheduler, Alert alert, Millis limit) const {
  http::ClientRequest request{"POST",
                              base_ + "/api/v2/alerts",
                              {{"Content-Type", "application/json"}},
                              json::dump(json::Value::array({alert_json(alert)}))};
  http::ClientOptions options;
  options.timeout = limit;
  options.tls = tls_;
  options.limits.body_bytes_max = 64 << 10;
  const Result<http::Response> response = co_await http::request(scheduler, std::move(request), options);
  if (!response) co_return response.error().with_context("Alertmanager");
  if (response->status == 200) co_return Status();
  const std::string text = fmt::format("Alertmanager answers {}: {}", response->status, printable(response->body, 200));
  if (response->status == 429) co_return Error(ErrorCode::throttled, text);
  co_return Error(response->status >= 500 ? ErrorCode::unavailable : ErrorCode::invalid_argument, text);
}

}  // namespace fleetward::connect
