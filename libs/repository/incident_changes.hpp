// Changes of incidents for receivers that get each once, beside incident_repository's pages that are kept alive.
// Functions run inside a store transaction.
#pragma once

#include <string>
#include <vector>

#include "fleet/incident.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

// When the receiver was first there: what closed before is history to it, not news.
Result<Instant> receiver_since(store::Transaction& tx, const std::string& receiver, Instant now);

// What has to be told to the receiver, oldest incident first: the newest state of those that it does not have in this
// revision and that are not held back (as with due_pages). note_page() of incident_repository says that it has.
Result<std::vector<fleet::Incident>> due_changes(store::Transaction& tx, const std::string& receiver, Instant since,
                                                 Instant now, std::int64_t limit);

}  // namespace fleetward::repository
