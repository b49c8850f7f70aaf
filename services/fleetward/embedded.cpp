#include "services/fleetward/embedded.hpp"

#include <fmt/format.h>

#include <future>
#include <map>

#include "async/scope.hpp"
#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/migrations.hpp"
#include "repository/outbox.hpp"
#include "repository/registry_repository.hpp"
#include "repository/violation_repository.hpp"
#include "services/fleetward/files.hpp"
#include "store/run_and_wait.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t ms_per_day = 86'400'000;
constexpr std::int64_t things_told_max = 500;  // in one transaction

using Counts = std::map<std::string, std::int64_t>;

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

namespace {

async::Task<void> count_records(bus::Bus& bus, async::Scheduler& scheduler, std::vector<std::string> topics,
                                std::promise<Result<Counts>>& out) {
  Counts counts;
  for (const std::string& topic : topics) {
    const auto ranges = co_await bus.ranges(scheduler, topic);
    if (!ranges) {
      out.set_value(ranges.error());
      co_return;
    }
    for (const bus::PartitionRange& range : *ranges) counts[topic] += range.end;
  }
  out.set_value(std::move(counts));
}

// How many records topics have ever had, by topic.
Result<Counts> records_of(bus::Bus& bus, async::Scheduler& scheduler, std::vector<std::string> topics) {
  std::promise<Result<Counts>> answer;
  async::Scope scope(scheduler, "count-records");
  scope.spawn("count", count_records(bus, scheduler, std::move(topics), answer));
  Result<Counts> counts = answer.get_future().get();
  scope.join(Millis(1'000));
  return counts;
}

}  // namespace

Status refuse_lost_store(Backends& backends, async::Scheduler& scheduler) {
  const Result<bool> untouched = store::run_and_wait<bool>(*backends.store, repository::is_untouched);
  if (!untouched) return untouched.error();
  if (!*untouched) return {};
  // Only a store's outbox feeds these.
  const auto counts = records_of(
      *backends.bus, scheduler,
      {std::string(fleet::topic::access), std::string(fleet::topic::certificates), std::string(fleet::topic::rules)});
  if (!counts) return counts.error();
  std::string found;
  for (const auto& [topic, count] : *counts) {
    if (count > 0) found += fmt::format("{}{} records in {}", found.empty() ? "" : ", ", count, topic);
  }
  if (found.empty()) return {};
  return {
      ErrorCode::failed_precondition,
      fmt::format("the store is empty, but the log is not ({}): store.db was deleted or replaced.\n"
                  "Put DATA_DIR/store back from a backup. To go on without it, knowingly: start once with "
                  "--accept-empty-store; things, groups, profiles, actions and incidents are then gone, while holds "
                  "and certificates in the log stay in force at the gateways",
                  found)};
}

Result<bool> is_log_lost(Backends& backends, async::Scheduler& scheduler) {
  std::vector<std::string> topics;
  for (const fleet::TopicInfo& info : fleet::all_topics) topics.emplace_back(info.name);
  const auto counts = records_of(*backends.bus, scheduler, std::move(topics));
  if (!counts) return counts.error();
  for (const auto& [topic, count] : *counts) {
    if (count > 0) return false;
  }
  return store::run_and_wait<bool>(*backends.store, repository::has_published);
}

Error lost_log() {
  return {ErrorCode::failed_precondition,
          "the log is empty, but the store has published to it: bus.db was deleted or replaced.\n"
          "Put DATA_DIR/bus back from a backup. To go on without it, knowingly: start once with --accept-empty-log; "
          "reports, violations that were not yet decided on, notifications that were not yet sent and what detectors "
          "knew of each device (baselines, open alarms) are then gone, while things and their groups, profiles, holds "
          "and certificates are published again from the store"};
}

Status tell_things_again(store::Store& store, Instant now) {
  std::string after;
  do {
    auto last = store::run_and_wait<std::string>(store, [&after, now](store::Transaction& tx) {
      return repository::tell_things(tx, after, things_told_max, now);
    });
    if (!last) return last.error();
    after = std::move(*last);
  } while (!after.empty());
  return {};
}

Status tell_lost_log(Backends& backends, Instant now) {
  if (const Status told = tell_things_again(*backends.store, now); !told) return told;
  return store::run_and_wait<void>(
      *backends.store, [now](store::Transaction& tx) { return repository::end_violations_of_lost_log(tx, now); });
}

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
  if (!opened) return with_advice(opened.error(), store_advice);
  if (const Status migrated = (*opened)->migrate(repository::all_migrations()); !migrated)
    return with_advice(migrated.error(), store_advice);
  return opened;
}

Result<Backends> open_backends(const InstallationSettings& settings, metrics::Registry& metrics) {
  Backends backends;
  auto opened_store = open_store(settings, metrics);
  if (!opened_store) return opened_store.error();
  backends.store = std::move(*opened_store);
  auto opened_bus = bus::open_embedded_bus(bus_path(settings.data_dir), metrics);
  if (!opened_bus) return with_advice(opened_bus.error(), log_advice);
  backends.bus = std::move(*opened_bus);
  if (const Status ensured = backends.bus->ensure_topics(topic_specs(settings.partitions)); !ensured) {
    return ensured.error();
  }
  return backends;
}

}  // namespace fleetward::program
