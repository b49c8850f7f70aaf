// The embedded backends in a data folder: SQLite log and store, opened, with their topics and schema in place.
//
// One process at a time: both files are locked, and the error of the second one names the holder. Blocking; main
// thread.
#pragma once

#include <memory>
#include <string>

#include "async/scheduler.hpp"
#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "services/fleetward/settings.hpp"
#include "store/store.hpp"

namespace fleetward::program {

struct Backends {
  std::unique_ptr<bus::Bus> bus;
  std::unique_ptr<store::Store> store;
};

// Makes the folder (0700: it holds keys and secrets) when it is missing.
Status make_data_dir(const std::string& data_dir);

std::string bus_path(const std::string& data_dir);
std::string store_path(const std::string& data_dir);

Result<std::unique_ptr<store::Store>> open_store(const InstallationSettings& settings, metrics::Registry& metrics);
Result<Backends> open_backends(const InstallationSettings& settings, metrics::Registry& metrics);

// The topics of an installation with so many partitions of devices.
std::vector<bus::TopicSpec> topic_specs(std::int64_t partitions);

// failed_precondition when the store is empty but the log holds what a store has decided: store.db was lost, and going
// on would make a new fleet beside devices that are held. Waits for both backends; not from their threads or
// `scheduler`'s.
Status refuse_lost_store(Backends& backends, async::Scheduler& scheduler);

// Whether the log holds nothing at all beside a store whose outbox has been published: bus.db was lost. Waits likewise.
Result<bool> is_log_lost(Backends& backends, async::Scheduler& scheduler);
// What to say of it where it was not accepted.
Error lost_log();
// Into the outbox, before its relay runs: the registry's fact of every thing, which only the log had. (The relay writes
// rules, holds and certificates again by itself.) A crash in between leaves the log lost. Waits.
Status tell_lost_log(Backends& backends, Instant now);
// Of it, what a log with holes needs: the registry's facts.
Status tell_things_again(store::Store& store, Instant now);

}  // namespace fleetward::program
