// An incident: the actions of one playbook entry within ten minutes, or one thing that holds the governor back, as one
// page. Topic incidents.
#pragma once

#include <string>
#include <vector>

#include "fleet/action.hpp"
#include "fleet/governor.hpp"

namespace fleetward::fleet {

struct IncidentMember {
  std::string action;
  std::string thing;
  HoldLevel level = HoldLevel::isolate;
  ActionState state = ActionState::proposed;
  std::string reason;
  std::string wait_reason;
  bool certificate_only = false;  // a revocation of some certificates, which leaves the thing free
  friend bool operator==(const IncidentMember&, const IncidentMember&) = default;
};

struct Incident {
  std::string id;
  std::string entry;  // playbook entry; "by-hand"
  Instant window_start;
  bool open = true;
  std::string severity;  // as it was when it opened: part of its page's identity
  std::int64_t revision = 0;
  Instant closed;
  std::vector<IncidentMember> members;
  std::optional<GovernorCondition> condition;  // the governor's: it has no members
  friend bool operator==(const Incident&, const Incident&) = default;
};
json::Value to_json(const Incident& incident);

}  // namespace fleetward::fleet
