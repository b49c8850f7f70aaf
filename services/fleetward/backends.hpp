// Log and store of an installation, opened, with their topics and schema in place.
//
// Embedded, both are files in the data folder that one process holds: the error of a second one names the holder.
// Blocking; main thread.
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
  std::unique_ptr<store::Store> store;  // null where nobody in this process needs it
};

// Makes the folder (0700: it holds keys and secrets) when it is missing.
Status make_data_dir(const std::string& data_dir);

std::string bus_path(const std::string& data_dir);
std::string store_path(const std::string& data_dir);

Result<std::unique_ptr<bus::Bus>> open_bus(const Settings& settings, metrics::Registry& metrics);
Result<std::unique_ptr<store::Store>> open_store(const Settings& settings, metrics::Registry& metrics);

// The topics of an installation with so many partitions of devices.
std::vector<bus::TopicSpec> topic_specs(std::int64_t partitions);

}  // namespace fleetward::program
