// Incidents and what was paged of them: the only code that writes their tables. Functions run inside a store
// transaction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "incident/incident.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {

inline constexpr std::string_view incidents_channel = "incidents";  // wakes the notifier's pages

// Incidents are kept that long after they have closed, and effects that long: longer than actions stay on their topic.
constexpr Millis incidents_kept = std::chrono::hours(24 * 100);

// Takes steps of actions into their incidents, each step once however often it is told; an incident is opened when
// there is none for the action's entry and window. Each incident that changed goes onto topic `incidents` once.
Status fold_actions(store::Transaction& tx, const std::vector<fleet::ActionEvent>& events, Instant now);

// Opens and closes the governor's incidents, each event once.
Status fold_governor(store::Transaction& tx, const std::vector<fleet::GovernorEvent>& events, Instant now);

// Forgets what is older than incidents_kept, at most some hundred a call; how many incidents.
Result<std::int64_t> prune_incidents(store::Transaction& tx, Instant now);

Result<fleet::Incident> get_incident(store::Transaction& tx, const std::string& id);  // not_found
// Newest first; `before` is window start and id of the last one seen.
Result<std::vector<fleet::Incident>> list_incidents(store::Transaction& tx, std::optional<bool> open,
                                                    const std::string& before, std::int64_t limit);
std::string incident_cursor(const fleet::Incident& incident);

// A brake and a used-up cap go with an incident of devices, whose page tells of them, and come that long before it at
// most: their own page is held back for so long, and while an incident of devices is open.
constexpr Millis governor_page_after{10'000};

// What has to be paged to the receiver: open ones that changed, or were last sent longer than `refresh` ago; closed
// ones that are not resolved there, or changed since: it may have been told that they are open again, unnoticed by us.
// None that is held back.
Result<std::vector<fleet::Incident>> due_pages(store::Transaction& tx, const std::string& receiver, Instant now,
                                               Millis refresh, std::int64_t limit);
Status note_page(store::Transaction& tx, const fleet::Incident& incident, const std::string& receiver, Instant now);

namespace detail {

// SQL: the receiver may be told of incident i, of which p is what it was told. A page that was held back until the
// incident closed is none; one that went out is kept up to date and resolved.
std::string may_be_told(std::string_view began_before);

}  // namespace detail

}  // namespace fleetward::repository
