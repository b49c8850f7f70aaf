// An incident: the actions of one playbook entry within ten minutes, as one page. Topic incidents.
#pragma once

#include <string>
#include <vector>

#include "fleet/action.hpp"

namespace fleetward::fleet {

struct IncidentMember {
  std::string action;
  std::string thing;
  HoldLevel level = HoldLevel::isolate;
  ActionState state = ActionState::proposed;
  std::string reason;
  std::string wait_reason;
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
  friend bool operator==(const Incident&, const Incident&) = default;
};
json::Value to_json(const Incident& incident);

}  // namespace fleetward::fleet
