// Log and store are two halves of one installation. What is done when one of them was lost beside the other.
//
// Each of these waits for the backends: not from their threads or `scheduler`'s.
#pragma once

#include "async/scheduler.hpp"
#include "services/fleetward/backends.hpp"

namespace fleetward::program {

// failed_precondition when the store is empty but the log holds what a store has decided: the store was lost, and going
// on would make a new fleet beside devices that are held.
Status refuse_lost_store(Backends& backends, async::Scheduler& scheduler, const StoreSettings& where);

// Whether the log holds nothing at all beside a store whose outbox has been published: the log was lost.
Result<bool> is_log_lost(Backends& backends, async::Scheduler& scheduler);
// What to say of it where it was not accepted.
Error lost_log(const BusSettings& where);
// Into the outbox, before its relay runs: the registry's fact of every thing, which only the log had. (The relay writes
// rules, holds and certificates again by itself.) A crash in between leaves the log lost.
Status tell_lost_log(Backends& backends, Instant now);
// Of it, what a log with holes needs: the registry's facts.
Status tell_things_again(store::Store& store, Instant now);

}  // namespace fleetward::program
