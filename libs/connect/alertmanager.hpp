// Alertmanager's v2 API as a pager: one alert an incident, with the incident's id as its identity.
//
// Alerts resolve by themselves when they are not sent again in time, so the caller repeats them well within `lifetime`.
// A resolve carries the same labels and annotations, else the latter would be erased. Times are of Alertmanager's own
// clock, as its answers tell it (the Date header): where ours is wrong, a page neither ends early nor stays.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "async/scope.hpp"
#include "fleet/incident.hpp"
#include "http/message.hpp"
#include "net/tls.hpp"

namespace fleetward::connect {

struct Alert {
  fleet::Incident incident;
  Millis lifetime;   // from now on; 0: resolved
  std::string link;  // to the incident; may be empty
};

struct AlertOutcome {
  Status status;
  std::optional<Millis> retry_after;  // said by it, or by what stands in front of it
};

// One Alertmanager instance. With several, each gets every alert: they tell one another, a balancer in between would
// not.
class Alertmanager {
 public:
  // `url`: its base, http or https; for https `ca_pem` says whom to trust. invalid_argument: not such an address.
  static Result<Alertmanager> open(const std::string& url, const std::string& ca_pem = {});

  // Good when Alertmanager has it. A retryable error may pass; any other will not with the same alert. The alert is
  // posted alone: a batch with one bad one answers 400 although the others were taken.
  async::Task<AlertOutcome> post(async::Scheduler& scheduler, Alert alert, Millis limit) const;

  [[nodiscard]] const std::string& url() const { return base_; }

 private:
  Alertmanager(std::string base, std::shared_ptr<const net::TlsContext> tls)
      : base_(std::move(base)), tls_(std::move(tls)) {}
  async::Task<Result<http::Response>> post_at(async::Scheduler& scheduler, const Alert& alert, Instant now,
                                              Millis limit) const;
  [[nodiscard]] Instant its_time(async::Scheduler& scheduler) const;

  std::string base_;
  std::shared_ptr<std::optional<Millis>> its_clock_ = std::make_shared<std::optional<Millis>>();  // past our steady one
  std::shared_ptr<const net::TlsContext> tls_;
};

}  // namespace fleetward::connect
