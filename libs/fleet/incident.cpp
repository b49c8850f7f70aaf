#include "fleet/incident.hpp"

namespace fleetward::fleet {

json::Value to_json(const Incident& i) {
  json::Value members = json::Value::array();
  for (const IncidentMember& m : i.members) {
    members.push_back({{"action", m.action},
                       {"thing", m.thing},
                       {"level", to_string(m.level)},
                       {"state", to_string(m.state)},
                       {"reason", m.reason},
                       {"waitReason", m.wait_reason},
                       {"certificateOnly", m.certificate_only}});
  }
  json::Value out = {{"id", i.id},
                     {"entry", i.entry},
                     {"windowStart", to_ms(i.window_start)},
                     {"state", i.open ? "open" : "closed"},
                     {"severity", i.severity},
                     {"revision", i.revision},
                     {"closed", to_ms(i.closed)},
                     {"members", std::move(members)}};
  if (i.condition) out["condition"] = to_json(*i.condition);
  return out;
}

}  // namespace fleetward::fleet
