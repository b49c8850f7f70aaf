#include "services/fleetward/backends.hpp"

#include <fmt/format.h>

#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/migrations.hpp"
#include "services/fleetward/files.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t ms_per_day = 86'400'000;

// What to do about a file that is damaged.
Error with_advice(const Error& error, std::string_view advice) {
  if (error.code != ErrorCode::corrupted) return error;
  return {error.code, fmt::format("{}.\n{}", error.message, advice)};
}

constexpr std::string_view store_advice =
    "The store is damaged: put DATA_DIR/store back from a backup, and keep the damaged file. Where only its "
    "write-ahead "
    "log is, `fleetward salvage` with the same settings goes on, knowingly, with what is whole before that";
constexpr std::string_view log_advice =
    "The log is damaged: put DATA_DIR/bus back from a backup that is newer than the damage; or `fleetward salvage` "
    "with "
    "the same settings keeps all that is whole, says what is lost, and lays the damaged file aside";

}  // namespace

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

std::string bus_path(const std::string& data_dir) { return data_dir + "/bus/bus.db"; }
std::string store_path(const std::string& data_dir) { return data_dir + "/store/store.db"; }

Status make_data_dir(const std::string& data_dir) {
  for (const std::string& path : {data_dir, data_dir + "/bus", data_dir + "/store"}) {
    if (const Status made = make_folder(path); !made) return made.error();
  }
  return {};
}

Result<std::unique_ptr<bus::Bus>> open_bus(const Settings& settings, metrics::Registry& metrics) {
  const InstallationSettings& c = settings.installation;
  if (const Status made = make_data_dir(c.data_dir); !made) return made.error();
  auto opened = bus::open_embedded_bus(bus_path(c.data_dir), metrics);
  if (!opened) return with_advice(opened.error(), log_advice);
  if (const Status ensured = (*opened)->ensure_topics(topic_specs(c.partitions)); !ensured) return ensured.error();
  return opened;
}

Result<std::unique_ptr<store::Store>> open_store(const Settings& settings, metrics::Registry& metrics) {
  const std::string& folder = settings.installation.data_dir;
  if (const Status made = make_data_dir(folder); !made) return made.error();
  auto opened = store::open_sqlite_store(store_path(folder), metrics);
  if (!opened) return with_advice(opened.error(), store_advice);
  if (const Status migrated = (*opened)->migrate(repository::all_migrations()); !migrated)
    return with_advice(migrated.error(), store_advice);
  return opened;
}

}  // namespace fleetward::program
