// Alertmanager's v2 API as a pager: one alert an incident, with the incident's id as its identity.
//
// Alerts resolve by themselves when they are not sent again in time, so the caller repeats them well before `ends_at`. A resolve
// carries the same labels and annotations, else the latter would be erased.
#pragma once

#include <string>

#include "async/scope.hpp"
#include "fleet/incident.hpp"

namespace fleetward::connect {

struct Alert {
  fleet::Incident incident;
  Instant ends_at;        // in the past or now: resolved
  std::string link;       // to the incident; may be empty
};

// `url` is Alertmanager's base. A retryable error may pass; any other will not with the same alert.
async::Task<Status> post_alert(async::Scheduler& scheduler, std::string url, Alert alert, Millis limit);

}  // namespace fleetward::connect
