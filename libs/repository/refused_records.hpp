// What becomes of a record that a gateway refused because no role that may say so has signed it. Runs inside a store
// transaction.
#pragma once

#include "fleet/refused_record.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

// One that says something else than the store, or has another's signature, is forged: the governor records it, which
// pages, and the true record goes onto the bus again, so that compaction leaves that. One that says what the store
// says, unsigned as before an upgrade, is only said again, signed by now. One that is the store's to the last byte is
// refused for the gateway's sake: it is logged, and saying it again would not help.
Status note_refused_record(store::Transaction& tx, const fleet::RefusedRecord& refused, Instant now);

}  // namespace fleetward::repository
