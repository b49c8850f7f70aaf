#include "connect/alertmanager.hpp"

#include <time.h>

#include "core/text.hpp"
#include "http/client.hpp"
#include "incident/incident.hpp"
#include "json/json.hpp"

namespace fleetward::connect {
namespace {

constexpr Millis clocks_differ{30'000};

// The Date of an answer, RFC 9110 section 5.6.7.
std::optional<Instant> date_of(const http::Response& response) {
  const std::string* text = http::find_header(response.headers, "Date");
  std::tm fields{};
  if (text == nullptr || ::strptime(text->c_str(), "%a, %d %b %Y %H:%M:%S GMT", &fields) == nullptr) return {};
  return instant_from_ms(std::int64_t{::timegm(&fields)} * 1000);
}

json::Value alert_json(const Alert& alert, Instant now) {
  const incident::PageText text = incident::page_text(alert.incident);
  json::Value out = {{"labels",
                      {{"alertname", "FleetwardIncident"},
                       {"incident", alert.incident.id},
                       {"severity", alert.incident.severity},
                       {"entry", alert.incident.entry}}},
                     {"annotations", {{"summary", text.summary}, {"description", text.description}}},
                     {"startsAt", to_rfc3339(std::min(alert.incident.window_start, now))},
                     {"endsAt", to_rfc3339(now + alert.lifetime)}};
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

// By its last answer; by our own clock before there is one.
Instant Alertmanager::its_time(async::Scheduler& scheduler) const {
  if (!*its_clock_) return scheduler.now();
  return Instant(std::chrono::duration_cast<Millis>(scheduler.steady_now()) + **its_clock_);
}

async::Task<Result<http::Response>> Alertmanager::post_at(async::Scheduler& scheduler, const Alert& alert, Instant now,
                                                          Millis limit) const {
  http::ClientRequest request{"POST",
                              base_ + "/api/v2/alerts",
                              {{"Content-Type", "application/json"}},
                              json::dump(json::Value::array({alert_json(alert, now)}))};
  http::ClientOptions options;
  options.timeout = limit;
  options.tls = tls_;
  options.limits.body_bytes_max = 64 << 10;
  Result<http::Response> response = co_await http::request(scheduler, std::move(request), options);
  const std::optional<Instant> date = response.ok() ? date_of(*response) : std::nullopt;
  if (date) *its_clock_ = date->time_since_epoch() - std::chrono::duration_cast<Millis>(scheduler.steady_now());
  co_return response;
}

async::Task<AlertOutcome> Alertmanager::post(async::Scheduler& scheduler, Alert alert, Millis limit) const {
  const Instant assumed = its_time(scheduler);
  Result<http::Response> response = co_await post_at(scheduler, alert, assumed, limit);
  const Instant known = its_time(scheduler);
  const bool was_wrong = response.ok() && (known - assumed > clocks_differ + limit || assumed - known > clocks_differ);
  if (was_wrong) response = co_await post_at(scheduler, alert, known, limit);
  if (!response) co_return AlertOutcome{response.error().with_context("Alertmanager"), std::nullopt};
  if (response->status == 200) co_return AlertOutcome{};
  const std::string text = fmt::format("Alertmanager answers {}: {}", response->status, printable(response->body, 200));
  const ErrorCode code = response->status == 429   ? ErrorCode::throttled
                         : response->status >= 500 ? ErrorCode::unavailable
                                                   : ErrorCode::invalid_argument;
  co_return AlertOutcome{Error(code, text), http::retry_after(*response)};
}

}  // namespace fleetward::connect
