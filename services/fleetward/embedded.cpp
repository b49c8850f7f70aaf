#include "services/fleetward/embedded.hpp"

#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/migrations.hpp"
#include "services/fleetward/files.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t ms_per_day = 86'400'000;

std::vector<bus::TopicSpec> topic_specs(std::int64_t partitions) {
  std::vector<bus::TopicSpec> specs;
  for (const fleet::TopicInfo& info : fleet::all_topics) {
    specs.push_back({.name = std::string(info.name),
                     .partitions = info.per_device ? static_cast<std::int32_t>(partitions) : 1,
                     .kind = info.is_table ? bus::TopicKind::table : bus::TopicKind::log,
                     .retention = Millis(info.retention_days * ms_per_day)});
  }
  return specs;
}

}  // namespace

std::string bus_path(const std::string& data_dir) { return data_dir + "/bus/bus.db"; }
std::string store_path(const std::string& data_dir) { return data_dir + "/store/store.db"; }

Status make_data_dir(const std::string& data_dir) {
  for (const std::string& path : {data_dir, data_dir + "/bus", data_dir + "/store"}) {
    if (const Status made = make_folder(path); !made) return made.error();
  }
  return {};
}

Result<std::unique_ptr<store::Store>> open_store(const InstallationSettings& settings, metrics::Registry& metrics) {
  if (const Status made = make_data_dir(settings.data_dir); !made) return made.error();
  auto opened = store::open_sqlite_store(store_path(settings.data_dir), metrics);
  if (!opened) return opened.error();
  if (const Status migrated = (*opened)->migrate(repository::all_migrations()); !migrated) return migrated.error();
  return opened;
}

Result<Backends> open_backends(const InstallationSettings& settings, metrics::Registry& metrics) {
  Backends backends;
  auto opened_store = open_store(settings, metrics);
  if (!opened_store) return opened_store.error();
  backends.store = std::move(*opened_store);
  auto opened_bus = bus::open_embedded_bus(bus_path(settings.data_dir), metrics);
  if (!opened_bus) return opened_bus.error();
  backends.bus = std::move(*opened_bus);
  if (const Status ensured = backends.bus->ensure_topics(topic_specs(settings.partitions)); !ensured) {
    return ensured.error();
  }
  return backends;
}

}  // namespace fleetward::program
