#include "services/fleetward/embedded.hpp"

#include <fmt/format.h>

#include <future>
#include <map>

#include "async/scope.hpp"
#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/migrations.hpp"
#include "repository/outbox.hpp"
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

// How many records topics that only a store's outbox feeds have had, by topic.
async::Task<void> count_decisions(bus::Bus& bus, async::Scheduler& scheduler,
                                  std::promise<Result<std::map<std::string, std::int64_t>>>& out) {
  std::map<std::string, std::int64_t> counts;
  for (const std::string_view topic : {fleet::topic::access, fleet::topic::certificates, fleet::topic::rules}) {
    const auto ranges = co_await bus.ranges(scheduler, std::string(topic));
    if (!ranges) {
      out.set_value(ranges.error());
      co_return;
    }
    for (const bus::PartitionRange& range : *ranges) counts[std::string(topic)] += range.end;
  }
  out.set_value(std::move(counts));
}

Result<bool> is_untouched(store::Store& store) {
  std::promise<Status> done;
  bool untouched = false;
  store.run(
      [&untouched](store::Transaction& tx) -> Status {
        const Result<bool> answer = repository::is_untouched(tx);
        if (!answer) return answer.error();
        untouched = *answer;
        return {};
      },
      [&done](const Status& status) { done.set_value(status); });
  const Status ran = done.get_future().get();
  if (!ran) return ran.error();
  return untouched;
}

}  // namespace

Status refuse_lost_store(Backends& backends, async::Scheduler& scheduler) {
  const Result<bool> untouched = is_untouched(*backends.store);
  if (!untouched) return untouched.error();
  if (!*untouched) return {};
  std::promise<Result<std::map<std::string, std::int64_t>>> answer;
  async::Scope scope(scheduler, "lost-store");
  scope.spawn("count", count_decisions(*backends.bus, scheduler, answer));
  const auto counts = answer.get_future().get();
  scope.join(Millis(1'000));
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
