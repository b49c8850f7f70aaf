// Incidents out of actions, and the words of their pages. Pure.
//
// An incident of devices is one playbook entry and a ten-minute window; one of the governor is something that holds
// automatic action back, for as long as it does. Its members are actions; it closes when the part of each
// thing is over: released, refused, or verified revoked. An action that begins anew after that opens it again, under
// the same identity. Limits: members_max (then the next incident of the entry begins), reason_bytes_max a member.
#pragma once

#include <string>

#include "fleet/incident.hpp"

namespace fleetward::incident {

constexpr Millis window{10 * 60'000};
constexpr std::size_t members_max = 2'000;
constexpr std::size_t reason_bytes_max = 600;
constexpr std::size_t members_shown = 5;

// Whether the action is something to wake a person for: what is only observed is not.
bool concerns_people(const fleet::Action& action);
std::string entry_of(const fleet::Action& action);

// The incident that the event opens, still without members. Its id is derived from the event, so a repeat opens the
// same one, and its window starts with it.
fleet::Incident open_incident(const fleet::ActionEvent& event);

// Takes the action's state in. True when anything changed (then the revision has risen).
bool fold(fleet::Incident& incident, const fleet::Action& action, Instant now);
bool is_over(const fleet::IncidentMember& member);

// The governor's: stopped, braked, a cap used up. A canary is none: its failed action has an incident already.
bool concerns_people(const fleet::GovernorEvent& event);
fleet::Incident open_incident(const fleet::GovernorEvent& event);
std::string incident_of(const fleet::GovernorCondition& condition);  // its id
// True when anything changed.
bool close(fleet::Incident& incident, Instant now);

struct PageText {
  std::string summary;      // one line
  std::string description;  // reason, blast radius, what was done, what to do
  std::string commands;     // to approve, release
};
// Device text is made printable; what is left out is told by number.
PageText page_text(const fleet::Incident& incident);

}  // namespace fleetward::incident
