// Incidents and what was paged of them: the only code that writes their tables. Functions run inside a store transaction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "incident/incident.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {

inline constexpr std::string_view incidents_channel = "incidents";  // wakes the notifier's pages

// Takes an action's state into its incident, which is opened when there is none for its entry and window. A change goes onto topic
// `incidents`.
Status fold_action(store::Transaction& tx, const fleet::Action& action, Instant now);

Result<fleet::Incident> get_incident(store::Transaction& tx, const std::string& id);  // not_found
// Newest first; `before` is window start and id of the last one seen.
Result<std::vector<fleet::Incident>> list_incidents(store::Transaction& tx, std::optional<bool> open, const std::string& before, std::int64_t limit);
std::string incident_cursor(const fleet::Incident& incident);

// What has to be paged to the receiver: open ones that changed, or were last sent before `refresh_before`; closed ones that are not
// resolved there.
Result<std::vector<fleet::Incident>> due_pages(store::Transaction& tx, const std::string& receiver, Instant refresh_before, std::int64_t limit);
Status note_page(store::Transaction& tx, const fleet::Incident& incident, const std::string& receiver, Instant now);

}  // namespace fleetward::repository
