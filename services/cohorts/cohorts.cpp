#include "services/cohorts/cohorts.hpp"

#include <atomic>

#include "core/text.hpp"
#include "detect/metric.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/cohorts/merger.hpp"

namespace fleetward::cohorts {
namespace {

constexpr Millis retry_pause{500};
constexpr Millis poll_wait{1'000};
constexpr std::size_t table_batch_records = 2'000;
constexpr std::size_t outdated_per_unit = 500;

Result<fleet::CohortSample> read_sample(const bus::Record& record) {
  if (!record.value) return Error(ErrorCode::invalid_argument, "the record has no value");
  const auto event = fleet::parse_cloud_event(*record.value);
  if (!event) return event.error();
  auto sample = fleet::cohort_sample_from_json(event->data);
  if (sample && sample->cohort != record.key) return Error(ErrorCode::invalid_argument, "its key names another cohort");
  return sample;
}

Result<fleet::CohortSnapshot> read_snapshot(const bus::Record& record) {
  const auto event = fleet::parse_cloud_event(*record.value);
  if (!event) return event.error();
  return fleet::cohort_snapshot_from_json(event->data);
}

bus::OutRecord to_record(const fleet::CohortSnapshot& s) {
  const std::string key = fleet::cohort_snapshot_key(s.cohort, s.number);
  const Instant pane_end = instant_from_ms((s.number + 1) * detect::pane_seconds * 1000);
  return {std::string(fleet::topic::cohorts),
          key,
          fleet::to_json_text(
              {key, "/fleetward/cohorts", std::string(fleet::event_type::cohort_snapshot), key, pane_end, to_json(s)}),
          {{std::string(fleet::header::content_type), "application/cloudevents+json"}},
          std::nullopt};
}

struct OwnedPartition {
  OwnedPartition(std::int32_t partitions, Millis late_after, std::int64_t start)
      : merger(partitions, late_after), start_offset(start), next_offset(start) {}
  Merger merger;
  std::int64_t start_offset;
  std::int64_t next_offset;
  bool is_loaded = false;
};

}  // namespace

struct Cohorts::State {
  State(CohortsSettings s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m)
      : settings(std::move(s)),
        bus(b),
        scheduler(sch),
        scope(sch, "cohorts"),
        kept(samples(m, "kept")),
        repeated(samples(m, "repeated")),
        late(samples(m, "late")),
        refused(samples(m, "refused")),
        published(m.counter("fleetward_cohorts_snapshots_total", "Snapshots of cohorts that are durable")),
        partial(m.counter("fleetward_cohorts_snapshots_without_all_total",
                          "Snapshots in which the pane of some partition is missing")),
        failures(m.counter("fleetward_cohorts_failures_total", "Reads and commits that failed and are tried again")) {}

  static metrics::Counter& samples(metrics::Registry& m, std::string_view result) {
    return m.counter("fleetward_cohorts_samples_total",
                     "Samples read: kept, repeated, late for their own pane, refused",
                     {{"result", std::string(result)}});
  }

  void take(const bus::Record& record) {
    const auto at = partitions.find(record.partition);
    if (at == partitions.end() || !at->second->is_loaded) return;  // it is read again from its start
    at->second->next_offset = record.offset + 1;
    const Result<fleet::CohortSample> sample = read_sample(record);
    const auto taken =
        sample ? at->second->merger.take(*sample, record.offset, scheduler.steady_now()) : Merger::Taken::refused;
    switch (taken) {
      case Merger::Taken::kept:
        return kept.add();
      case Merger::Taken::repeated:
        return repeated.add();
      case Merger::Taken::late:
        return late.add();
      case Merger::Taken::refused:
        break;
    }
    refused.add();
    log::warn("cohort_sample_refused",
              {{"partition", record.partition},
               {"offset", record.offset},
               {"error", sample ? "its sketch or its partition cannot be, or there are too many cohorts"
                                : sample.error().message}});
  }

  void note(std::map<std::int32_t, std::shared_ptr<OwnedPartition>>& loading, const bus::Record& record) {
    const std::string cohort = record.key.substr(0, record.key.rfind('@'));
    const auto at = loading.find(bus::partition_of(cohort, bus.partition_count(fleet::topic::cohort_samples)));
    if (at == loading.end()) return;
    if (!record.value) return at->second->merger.forget(record.key);
    const auto snapshot = read_snapshot(record);
    if (snapshot) at->second->merger.note(*snapshot);
    else log::error("snapshot_refused", {{"key", record.key}, {"error", snapshot.error().message}});
  }

  // What stands on topic cohorts when the partition is ours: whoever owned it before cannot add to it.
  async::Task<Status> load(std::map<std::int32_t, std::shared_ptr<OwnedPartition>> loading) {
    auto reader = bus::read_all(bus, scheduler, std::string(fleet::topic::cohorts));
    if (!reader) co_return reader.error();
    while (!(*reader)->caught_up()) {
      const Result<std::vector<bus::Record>> some = co_await (*reader)->poll(table_batch_records, poll_wait);
      if (!some) co_return some.error();
      for (const bus::Record& record : *some) note(loading, record);
    }
    for (const auto& [number, owned] : loading) {
      const auto at = partitions.find(number);
      if (at == partitions.end() || at->second != owned) continue;  // it was given up meanwhile
      owned->is_loaded = true;
      consumer->seek(number, owned->start_offset);
      consumer->resume(number);
    }
    co_return Status();
  }

  async::Task<void> load_waiting() {
    std::map<std::int32_t, std::shared_ptr<OwnedPartition>> waiting;
    for (const auto& [number, owned] : partitions) {
      if (!owned->is_loaded) waiting.emplace(number, owned);
    }
    is_behind = !waiting.empty();
    if (waiting.empty()) co_return;
    const Status loaded = co_await load(waiting);
    is_behind = !loaded.ok();
    if (!loaded) {
      co_await pause_after(loaded, "load");
    }
  }

  async::Task<void> pause_after(Status failed, std::string_view what) {
    failures.add();
    is_behind = true;
    log::warn("cohorts_retries", {{"step", what}, {"error", failed.error().message}});
    co_await scope.sleep(retry_pause);
  }

  async::Task<void> publish(std::int32_t number, std::shared_ptr<OwnedPartition> owned) {
    const std::vector<fleet::CohortSnapshot> due = owned->merger.due(scheduler.steady_now());
    if (due.empty()) co_return;
    const std::vector<std::string> outdated = owned->merger.outdated(outdated_per_unit);
    const std::unique_ptr<bus::UnitOfWork> unit = consumer->begin();
    for (const fleet::CohortSnapshot& snapshot : due) unit->append(to_record(snapshot));
    for (const std::string& key : outdated)
      unit->append({std::string(fleet::topic::cohorts), key, std::nullopt, {}, std::nullopt});
    unit->set_offset(number, owned->merger.needed_from(owned->next_offset));
    const Result<std::vector<bus::Position>> committed = co_await unit->commit();
    if (!committed && committed.error().code == ErrorCode::fenced) {
      const auto at = partitions.find(number);
      if (at != partitions.end() && at->second == owned) partitions.erase(at);
      log::info("cohorts_given_up", {{"partition", number}, {"reason", "fenced"}});
      co_return;
    }
    if (!committed) {
      co_await pause_after(committed.error(), "publish");
      co_return;
    }
    for (const std::string& key : outdated) owned->merger.forget(key);
    for (const fleet::CohortSnapshot& snapshot : due) {
      owned->merger.note(snapshot);
      const bool is_whole = std::all_of(snapshot.sources.begin(), snapshot.sources.end(),
                                        [&](const auto& source) { return source.pane == snapshot.number; });
      if (!is_whole || std::ssize(snapshot.sources) < bus.partition_count(fleet::topic::devices)) partial.add();
    }
    published.add(due.size());
  }

  async::Task<void> step() {
    const Result<bus::PollResult> polled = co_await consumer->poll(settings.records_per_poll, poll_wait);
    if (!polled) {
      co_await pause_after(polled.error(), "poll");
      co_return;
    }
    for (const std::int32_t p : polled->lost) partitions.erase(p);
    for (const std::int32_t p : polled->revoked) partitions.erase(p);
    for (const bus::Position& p : polled->assigned) {
      partitions[p.partition] =
          std::make_shared<OwnedPartition>(bus.partition_count(fleet::topic::devices), settings.late_after, p.offset);
      consumer->pause(p.partition);
    }
    for (const bus::Record& record : polled->records) take(record);
    co_await load_waiting();
    const auto owned = partitions;  // kept over the awaits
    for (const auto& [number, partition] : owned) {
      if (!partition->is_loaded) continue;
      co_await publish(number, partition);
    }
  }

  async::Task<void> run() {
    while (!scope.stopping()) {
      co_await step();
    }
    const Status closed = co_await consumer->close();
    if (!closed) log::warn("consumer_close_failed", {{"error", closed.error().message}});
    partitions.clear();
  }

  CohortsSettings settings;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  async::Scope scope;
  std::unique_ptr<bus::Consumer> consumer;
  std::map<std::int32_t, std::shared_ptr<OwnedPartition>> partitions;
  std::atomic<bool> is_behind{true};
  metrics::Counter& kept;
  metrics::Counter& repeated;
  metrics::Counter& late;
  metrics::Counter& refused;
  metrics::Counter& published;
  metrics::Counter& partial;
  metrics::Counter& failures;
};

Cohorts::Cohorts(CohortsSettings settings, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics)
    : state_(std::make_shared<State>(std::move(settings), bus, scheduler, metrics)) {}

Cohorts::~Cohorts() = default;

Status Cohorts::start() {
  bus::ConsumerOptions options;
  options.group = state_->settings.group;
  options.topic = fleet::topic::cohort_samples;
  options.member = state_->settings.member;
  options.session_timeout = state_->settings.session_timeout;
  auto consumer = state_->bus.subscribe(state_->scheduler, options);
  if (!consumer) return consumer.error().with_context("cohorts");
  state_->consumer = std::move(*consumer);
  state_->scope.spawn("merge", state_->run());
  return {};
}

void Cohorts::stop(Millis limit) {
  state_->scope.request_stop();
  state_->scheduler.post([state = state_] {
    if (state->consumer) state->consumer->wake();
  });
  if (!state_->scope.join(limit)) log::error("cohorts_stop_timed_out");
}

Status Cohorts::ready() const {
  if (!state_->is_behind) return {};
  return Error(ErrorCode::unavailable,
               "what is published of cohorts has not been read yet, or nothing can be published");
}

}  // namespace fleetward::cohorts
