// Log and store of an installation, opened, with their topics and schema in place.
//
// Embedded, each is a file in the data folder that one process holds: the error of a second one names the holder.
// Topics and schema are made or brought up to date by whoever starts first and may; the others only check.
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

// Makes the data folder (0700: it holds keys and secrets), and those of what is embedded, when they are missing.
Status make_data_dir(const Settings& settings);

std::string bus_path(const std::string& data_dir);
std::string store_path(const std::string& data_dir);

Result<std::unique_ptr<bus::Bus>> open_bus(const Settings& settings, metrics::Registry& metrics);
Result<std::unique_ptr<store::Store>> open_store(const Settings& settings, metrics::Registry& metrics);

// The topics of an installation with so many partitions of devices.
std::vector<bus::TopicSpec> topic_specs(std::int64_t partitions);

}  // namespace fleetward::program
