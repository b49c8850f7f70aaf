#include "services/detector/replay.hpp"

#include <future>
#include <map>

#include "bus/embedded_bus.hpp"
#include "core/text.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "services/detector/records.hpp"

namespace fleetward::detector {
namespace {

constexpr std::size_t batch_records = 2000;
constexpr Millis no_wait{0};

using Texts = std::map<std::string, std::string>;

// Hands every record of the topic that is in the file to `take`, partition after partition.
async::Task<Status> read_topic(bus::Bus& bus, async::Scheduler& scheduler, std::string topic,
                               std::function<Status(const bus::Record&)> take) {
  const std::int32_t count = bus.partition_count(topic);
  for (std::int32_t partition = 0; partition < count; ++partition) {
    auto reader = bus.read(scheduler, topic, {{partition, 0}});
    if (!reader) co_return reader.error();
    while (!(*reader)->caught_up()) {
      const Result<std::vector<bus::Record>> some = co_await (*reader)->poll(batch_records, no_wait);
      if (!some) co_return some.error();
      for (const bus::Record& record : *some) {
        if (const Status taken = take(record); !taken) co_return taken;
      }
    }
  }
  co_return Status();
}

struct Replay {
  detect::Rules rules;
  detect::Snapshots snapshots;
  std::map<std::int32_t, detect::PartitionEngine> engines;
  Texts texts;

  Status take_rule(const bus::Record& record) { return record.value ? rules.add(record.key, *record.value) : Status(); }

  Status take_record(const bus::Record& record) {
    const auto [at, first] = engines.try_emplace(record.partition, record.partition, rules, snapshots);
    if (first && record.offset != 0) {
      return Error(ErrorCode::failed_precondition,
                   fmt::format("partition {} begins at offset {}: its beginning is no longer kept, so what came of it "
                               "cannot be told",
                               record.partition, record.offset));
    }
    const detect::InputRecord in = to_input(record);
    if (!at->second.can_apply(in)) {
      return Error(
          ErrorCode::failed_precondition,
          fmt::format(
              "the mark at offset {} of partition {} names rules or snapshots of cohorts that are not in the file",
              record.offset, record.partition));
    }
    std::vector<fleet::ViolationEvent> events;
    at->second.apply(in, events);
    for (const fleet::ViolationEvent& event : events)
      texts.insert_or_assign(fleet::event_id(event), violation_text(event));
    return {};
  }

  async::Task<Status> run(bus::Bus& bus, async::Scheduler& scheduler) {
    const Status read_rules = co_await read_topic(bus, scheduler, std::string(fleet::topic::rules),
                                                  [this](const bus::Record& r) { return take_rule(r); });
    if (!read_rules) co_return read_rules.error().with_context("rules");
    const Status read_cohorts =
        co_await read_topic(bus, scheduler, std::string(fleet::topic::cohorts),
                            [this](const bus::Record& r) { return snapshots.add(r.key, r.value); });
    if (!read_cohorts) co_return read_cohorts.error().with_context("cohorts");
    const Status read_devices = co_await read_topic(bus, scheduler, std::string(fleet::topic::devices),
                                                    [this](const bus::Record& r) { return take_record(r); });
    co_return read_devices;
  }
};

struct Recorded {
  Texts texts;

  Status take(const bus::Record& record) {
    if (!record.value) return {};
    const auto event = fleet::parse_cloud_event(*record.value);
    if (!event) return event.error().with_context(fmt::format("violation at offset {}", record.offset));
    const auto [at, first] = texts.try_emplace(event->id, *record.value);
    if (!first && at->second != *record.value) {
      return Error(ErrorCode::corrupted, "two different violations have the id " + printable(event->id, 128));
    }
    return {};
  }

  async::Task<Status> run(bus::Bus& bus, async::Scheduler& scheduler) {
    const Status read = co_await read_topic(bus, scheduler, std::string(fleet::topic::violations),
                                            [this](const bus::Record& r) { return take(r); });
    co_return read;
  }
};

async::Task<void> keep_result(async::Task<Status> work, std::shared_ptr<std::promise<Status>> result) {
  Status status = co_await std::move(work);
  result->set_value(std::move(status));
}

template <class Work>
Result<std::vector<TextById>> run_on_file(const std::string& path) {
  metrics::Registry metrics;
  async::LoopThread loop("replay");  // outlives the bus, whose threads post to it
  auto bus = bus::open_embedded_bus_read_only(path, metrics);
  if (!bus) return bus.error();
  Work work;
  auto promised = std::make_shared<std::promise<Status>>();
  std::future<Status> done = promised->get_future();
  async::Scope scope(loop, "replay");
  scope.spawn("replay", keep_result(work.run(**bus, loop), promised));
  const Status status = done.get();
  scope.join(Millis(10'000));
  loop.stop();
  if (!status) return status.error();
  std::vector<TextById> out;
  out.reserve(work.texts.size());
  for (auto& [id, text] : work.texts) out.push_back({id, std::move(text)});
  return out;
}

}  // namespace

Result<std::vector<TextById>> replay(const std::string& bus_path) { return run_on_file<Replay>(bus_path); }
Result<std::vector<TextById>> recorded_violations(const std::string& bus_path) {
  return run_on_file<Recorded>(bus_path);
}

}  // namespace fleetward::detector
