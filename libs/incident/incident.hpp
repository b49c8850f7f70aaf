// Incidents out of actions, and the words of their pages. Pure.
//
// An incident is one playbook entry and a ten-minute window. It closes when each member is released, refused, or verified revoked.
#pragma once

#include <string>

#include "fleet/incident.hpp"

namespace fleetward::incident {

constexpr Millis window{10 * 60'000};
constexpr std::size_t members_shown = 5;

// Whether the action is something to wake a person for: what is only observed is not.
bool concerns_people(const fleet::Action& action);
std::string entry_of(const fleet::Action& action);
std::string incident_id(const std::string& entry, Instant window_start);

// Takes the action's state in. True when anything changed (then the revision has risen).
bool fold(fleet::Incident& incident, const fleet::Action& action, Instant now);
bool is_over(const fleet::IncidentMember& member);

struct PageText {
  std::string summary;      // one line
  std::string description;  // reason, blast radius, what was done, what to do
  std::string commands;     // to approve, release
};
PageText page_text(const fleet::Incident& incident);

}  // namespace fleetward::incident
