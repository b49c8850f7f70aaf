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

Result<std::unique_ptr<bus::Bus>> open_embedded(const Settings& settings, metrics::Registry& metrics) {
  auto opened = bus::open_embedded_bus(bus_path(settings.installation.data_dir), metrics);
  if (!opened) return with_advice(opened.error(), log_advice);
  return opened;
}

Result<std::unique_ptr<bus::Bus>> open_kafka(const Settings& settings, metrics::Registry& metrics) {
  Result<bus::KafkaOptions> options = kafka_options(settings.bus, settings.installation.instance);
  if (!options) return options.error().with_context("bus");
  auto opened = bus::open_kafka_bus(std::move(*options), metrics);
  if (!opened) return opened.error().with_context("bus");
  return opened;
}

Result<std::unique_ptr<store::Store>> open_sqlite(const Settings& settings, metrics::Registry& metrics) {
  auto opened = store::open_sqlite_store(store_path(settings.installation.data_dir), metrics);
  if (!opened) return with_advice(opened.error(), store_advice);
  return opened;
}

Result<std::unique_ptr<store::Store>> open_postgres(const Settings& settings, metrics::Registry& metrics) {
  Result<store::PostgresOptions> options = postgres_options(settings.store);
  if (!options) return options.error().with_context("store");
  auto opened = store::open_postgres_store(std::move(*options), metrics);
  if (!opened) return opened.error().with_context("store");
  return opened;
}

// All of it is read at each takeover, and checkpoints replace each other all the time.
constexpr Millis replaced_state_kept{60'000};

Millis retention_of(const fleet::TopicInfo& info) {
  return info.name == fleet::topic::detector_state ? replaced_state_kept : Millis(info.retention_days * ms_per_day);
}

}  // namespace

std::vector<bus::TopicSpec> topic_specs(std::int64_t partitions) {
  std::vector<bus::TopicSpec> specs;
  for (const fleet::TopicInfo& info : fleet::all_topics) {
    specs.push_back({.name = std::string(info.name),
                     .partitions = info.per_device ? static_cast<std::int32_t>(partitions) : 1,
                     .kind = info.is_table ? bus::TopicKind::table : bus::TopicKind::log,
                     .retention = retention_of(info)});
  }
  return specs;
}

std::string bus_path(const std::string& data_dir) { return data_dir + "/bus/bus.db"; }
std::string store_path(const std::string& data_dir) { return data_dir + "/store/store.db"; }

Status make_data_dir(const Settings& settings) {
  const std::string& folder = settings.installation.data_dir;
  std::vector<std::string> wanted = {folder};
  if (settings.bus.is_embedded()) wanted.push_back(folder + "/bus");
  if (settings.store.is_embedded()) wanted.push_back(folder + "/store");
  for (const std::string& path : wanted) {
    if (const Status made = make_folder(path); !made) return made.error();
  }
  return {};
}

Result<std::unique_ptr<bus::Bus>> open_bus(const Settings& settings, metrics::Registry& metrics) {
  if (const Status made = make_data_dir(settings); !made) return made.error();
  auto opened = settings.bus.is_embedded() ? open_embedded(settings, metrics) : open_kafka(settings, metrics);
  if (!opened) return opened.error();
  const Status ensured = (*opened)->ensure_topics(topic_specs(settings.installation.partitions));
  if (!ensured) return ensured.error();
  return opened;
}

Result<std::unique_ptr<store::Store>> open_store(const Settings& settings, metrics::Registry& metrics) {
  if (const Status made = make_data_dir(settings); !made) return made.error();
  auto opened = settings.store.is_embedded() ? open_sqlite(settings, metrics) : open_postgres(settings, metrics);
  if (!opened) return opened.error();
  const Status migrated = (*opened)->migrate(repository::all_migrations());
  if (!migrated) return with_advice(migrated.error(), store_advice);
  return opened;
}

}  // namespace fleetward::program
