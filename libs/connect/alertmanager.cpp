#include "connect/alertmanager.hpp"

#include "http/client.hpp"
#include "incident/incident.hpp"
#include "json/json.hpp"

namespace fleetward::connect {
namespace {

json::Value alert_json(const Alert& alert) {
  const incident::PageText text = incident::page_text(alert.incident);
  json::Value out = {{"labels", {{"alertname", "FleetwardIncident"}, {"incident", alert.incident.id}, {"severity", alert.incident.severity}}},
                     {"annotations", {{"summary", text.summary}, {"description", text.description}}},
                     {"startsAt", to_rfc3339(alert.incident.window_start)},
                     {"endsAt", to_rfc3339(alert.ends_at)}};
  if (!text.commands.empty()) out["annotations"]["commands"] = text.commands;
  if (!alert.link.empty()) {
    out["annotations"]["link"] = alert.link;
    out["generatorURL"] = alert.link;
  }
  return out;
}

}  // namespace

async::Task<Status> post_alert(async::Scheduler& scheduler, std::string url, Alert alert, Millis limit) {
  http::ClientRequest request{"POST", url + "/api/v2/alerts", {{"Content-Type", "application/json"}}, json::dump(json::Value::array({alert_json(alert)}))};
  http::ClientOptions options;
  options.timeout = limit;
  const Result<http::Response> response = co_await http::request(scheduler, std::move(request), options);
  if (!response) co_return response.error().with_context("Alertmanager");
  if (response->status == 200) co_return Status();
  const bool passing = response->status == 429 || response->status >= 500;
  co_return Error(passing ? ErrorCode::unavailable : ErrorCode::invalid_argument, fmt::format("Alertmanager answers {}: {}", response->status, printable(response->body, 200)));
}

}  // namespace fleetward::connect
