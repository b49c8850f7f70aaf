// The words of the governor's pages. Private to the library.
#pragma once

#include "incident/incident.hpp"

namespace fleetward::incident {

PageText governor_text(const fleet::GovernorCondition& condition, bool open);

}  // namespace fleetward::incident
