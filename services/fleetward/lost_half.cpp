#include "services/fleetward/lost_half.hpp"

#include <fmt/format.h>

#include <future>
#include <map>

#include "async/scope.hpp"
#include "fleet/topics.hpp"
#include "repository/outbox.hpp"
#include "repository/registry_repository.hpp"
#include "repository/violation_repository.hpp"
#include "store/run_and_wait.hpp"

namespace fleetward::program {
namespace {

constexpr std::int64_t things_told_max = 500;  // in one transaction

using Counts = std::map<std::string, std::int64_t>;

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

std::string lost_store_advice(const StoreSettings& where) {
  if (where.is_embedded()) {
    return "store.db was deleted or replaced.\nPut DATA_DIR/store back from a backup";
  }
  return fmt::format(
      "database {} at {}:{} was made anew, or is another one.\n"
      "Set section store to the one that the installation was made on, or restore that from a backup (it may be older "
      "than the topics)",
      where.database, where.host, where.port);
}

}  // namespace

Status refuse_lost_store(Backends& backends, async::Scheduler& scheduler, const StoreSettings& where) {
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
      fmt::format("the store is empty, but the log is not ({}): {}. To go on without it, knowingly: start once with "
                  "--accept-empty-store; things, groups, profiles, actions and incidents are then gone, while holds "
                  "and certificates in the log stay in force at the gateways",
                  found, lost_store_advice(where))};
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

Error lost_log(const BusSettings& where) {
  const std::string advice = where.is_embedded()
                                 ? "bus.db was deleted or replaced.\nPut DATA_DIR/bus back from a backup"
                                 : fmt::format(
                                       "its topics were deleted and made anew, or {} is another cluster.\n"
                                       "Set bus.bootstrap to the one that the installation was made on",
                                       where.bootstrap);
  return {
      ErrorCode::failed_precondition,
      "the log is empty, but the store has published to it: " + advice +
          ". To go on without it, knowingly: start once with --accept-empty-log; "
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

}  // namespace fleetward::program
