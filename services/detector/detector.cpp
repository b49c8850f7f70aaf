#include "services/detector/detector.hpp"

#include <mutex>

#include "bus/table_follower.hpp"
#include "core/fault.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/detector/gateway_leases.hpp"
#include "services/detector/owner.hpp"
#include "services/detector/publisher.hpp"
#include "services/detector/records.hpp"

namespace fleetward::detector {
namespace {

constexpr Millis retry_pause{500};
constexpr Millis publish_limit{5'000};  // how long a checkpoint waits for violations; then it is put off
constexpr Millis poll_wait_max{1'000};

}  // namespace

struct Detector::State {
  State(DetectorSettings s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m, crypto::Random& r)
      : settings(std::move(s)),
        bus(b),
        scheduler(sch),
        metrics(m),
        random(r),
        scope(sch, "detector"),
        publisher(b, sch, m),
        follower(b, sch, std::string(fleet::topic::rules), std::string(fleet::header::version),
                 {[this](const bus::Record& record) { take_rule(record); }, [this] { wake(); }, nullptr,
                  [this] { wake(); }}),
        cohorts(b, sch, std::string(fleet::topic::cohorts), std::string(fleet::header::version),
                {[this](const bus::Record& record) { take_snapshot(record); }, [this] { wake(); }, nullptr,
                 [this] { wake(); }}),
        gateways(b, sch, std::string(fleet::topic::gateways), std::string(fleet::header::version),
                 {[this](const bus::Record& record) { take_gateway(record); }, nullptr, nullptr, nullptr}),
        voice(b, sch, m),
        saved(sch),
        checkpoints_saved(
            m.counter("fleetward_detector_checkpoints_total", "Checkpoints of partitions that are durable")),
        checkpoints_failed(
            m.counter("fleetward_detector_checkpoint_failures_total", "Checkpoints that were not committed")) {}

  // --- rules

  void take_rule(const bus::Record& record) {
    if (!record.value) return;
    if (const Status added = rules.add(record.key, *record.value); !added) {
      metrics.counter("fleetward_detector_rules_refused_total", "Records of topic rules that could not be read").add();
      log::error("rule_refused", {{"key", record.key}, {"error", added.error().message}});
    }
  }
  void take_snapshot(const bus::Record& record) {
    if (const Status added = snapshots.add(record.key, record.value); !added) {
      metrics.counter("fleetward_detector_snapshots_refused_total", "Records of topic cohorts that could not be read")
          .add();
      log::error("snapshot_refused", {{"key", record.key}, {"error", added.error().message}});
    }
  }
  void wake() {
    if (consumer) consumer->wake();
  }

  // --- gateways

  void take_gateway(const bus::Record& record) {
    if (!record.value) return;
    const auto event = fleet::parse_cloud_event(*record.value);
    if (!event) return;  // the responder, who acts on them, tells of those
    const auto heartbeat = fleet::gateway_heartbeat_from_json(event->data);
    if (heartbeat && leases.hear(*heartbeat, scheduler.now())) note_gateways_changed();
  }
  void note_gateways_changed() {
    if (!gateways.caught_up()) return;  // what was before we came is no news
    for (auto& [number, p] : partitions) p->gateways_changed = true;
    wake();
  }

  // --- assignment

  [[nodiscard]] bool is_to_restore(const OwnedPartition& p) const {
    return p.phase == OwnedPartition::Phase::restoring && scheduler.steady_now() >= p.restore_at;
  }

  // One at a time: who does not poll between two of them is silent for so long that the group gives them to others.
  async::Task<void> restore_next() {
    const auto at = std::find_if(partitions.begin(), partitions.end(),
                                 [this](const auto& entry) { return is_to_restore(*entry.second); });
    if (at == partitions.end()) co_return;
    const std::shared_ptr<OwnedPartition> owned = at->second;  // kept over the await
    OwnedPartition& p = *owned;
    const auto began = scheduler.steady_now();
    p.restore_at = began + retry_pause;
    if (state_bytes() > settings.state_bytes_max) {
      p.why_not_ready = "it is paused: state_bytes_max is reached";
      co_return;
    }
    auto engine = co_await restore(bus, scheduler, settings.group, p.partition, p.start_offset, rules, snapshots);
    if (!engine) {
      p.why_not_ready = engine.error().message;
      p.restore_at = scheduler.steady_now() + retry_pause;
      const bool retryable = is_retryable(engine.error().code) || engine.error().code == ErrorCode::failed_precondition;
      if (!retryable) log::error("restore_failed", {{"partition", p.partition}, {"error", engine.error().message}});
      co_return;
    }
    p.engine = std::move(*engine);
    take_over(p);
    log::info("partition_owned", {{"partition", p.partition},
                                  {"offset", p.start_offset},
                                  {"devices", p.engine->device_count()},
                                  {"restore_ms", (p.last_read - began) / Millis(1)}});
  }

  void take_over(OwnedPartition& p) {
    p.phase = OwnedPartition::Phase::running;
    p.begin_id = random.hex(16);
    p.marked = 0;
    p.marked_cohorts.clear();
    consumer->seek(p.partition, p.start_offset);
    consumer->resume(p.partition);
    p.last_read = scheduler.steady_now();
    p.spoke_at = p.last_read - detect::tick_interval;  // the begin is said now
  }

  void assign(const bus::Position& position) {
    partitions[position.partition] = std::make_shared<OwnedPartition>(position.partition, position.offset);
    consumer->pause(position.partition);
  }

  void lose(std::int32_t partition, std::string_view why) {
    if (partitions.erase(partition) > 0) log::info("partition_given_up", {{"partition", partition}, {"reason", why}});
  }
  // Of a commit that was under way: the partition may have been given up, and come again, meanwhile.
  void lose(const std::shared_ptr<OwnedPartition>& owned, std::string_view why) {
    const auto at = partitions.find(owned->partition);
    if (at != partitions.end() && at->second == owned) lose(owned->partition, why);
  }

  // --- records

  void take(std::vector<bus::Record> records) {
    for (bus::Record& record : records) {
      const auto at = partitions.find(record.partition);
      // Of a partition that is being restored: it is read again from its start.
      if (at == partitions.end() || at->second->phase != OwnedPartition::Phase::running) continue;
      at->second->queue.push_back(std::move(record));
    }
  }

  void apply_queued(OwnedPartition& p) {
    std::vector<fleet::ViolationEvent> events;
    bool has_read = false;
    p.why_not_ready.clear();
    while (!p.queue.empty() && !publisher.is_full() && !p.engine->samples_are_full()) {
      const detect::InputRecord in = to_input(p.queue.front());
      if (!p.engine->can_apply(in)) {
        p.why_not_ready = "it waits for what a mark names: rules, or snapshots of cohorts";
        break;
      }
      // What a seek or a rebalance brings again was applied.
      if (in.offset >= p.engine->next_offset()) p.engine->apply(in, events);
      p.queue.pop_front();
      has_read = true;
    }
    if (has_read) p.last_read = scheduler.steady_now();
    if (!events.empty()) publisher.add(events);
    if (p.queue.empty() == p.paused) {
      p.paused = !p.queue.empty();
      if (p.paused) consumer->pause(p.partition);
      else consumer->resume(p.partition);
    }
  }

  // --- checkpoints

  struct Checkpoint {
    std::shared_ptr<OwnedPartition> owned;
    std::unique_ptr<bus::UnitOfWork> unit;
    std::int64_t offset = 0;
  };

  // What is to be saved, as it is at this moment: the publisher must be idle. Records are applied on while it is being
  // committed.
  std::vector<Checkpoint> prepare() {
    std::vector<Checkpoint> out;
    std::size_t states = 0;
    for (const auto& [number, p] : partitions) {
      if (p->phase != OwnedPartition::Phase::running || p->engine->next_offset() == p->saved_offset) continue;
      Checkpoint& c = out.emplace_back(Checkpoint{p, consumer->begin(), p->engine->next_offset()});
      states += put_checkpoint(*p, *c.unit);
    }
    is_saving = true;
    checkpoint_at =
        scheduler.steady_now() + checkpoint_pause(states, settings.checkpoint_every, settings.checkpoint_every_max);
    return out;
  }

  async::Task<void> commit_all(std::vector<Checkpoint> checkpoints) {
    for (Checkpoint& c : checkpoints) {
      fault::crash_here("detector.before_commit");
      const Result<std::vector<bus::Position>> committed = co_await c.unit->commit();
      if (committed) {
        checkpoint_is_durable(*c.owned);
        c.owned->saved_offset = c.offset;
        checkpoints_saved.add();
        continue;
      }
      checkpoints_failed.add();
      checkpoint_at = std::min(checkpoint_at, scheduler.steady_now() + settings.checkpoint_every);
      log::warn("checkpoint_failed", {{"partition", c.owned->partition}, {"error", committed.error().message}});
      if (committed.error().code == ErrorCode::fenced) lose(c.owned, "fenced");
    }
    is_saving = false;
    saved.notify();
  }

  // Before partitions are given back.
  async::Task<void> save_now() {
    while (is_saving) {
      co_await saved.wait(poll_wait_max);
    }
    const bool published = co_await publisher.wait_idle(publish_limit);
    if (!published) co_return;  // what it would cover is not out yet: the next owner reads those records again
    co_await commit_all(prepare());
  }

  async::Task<void> save_when_due() {
    const auto now = scheduler.steady_now();
    if (is_saving || now < checkpoint_at) co_return;
    // Violations that never cease do not put it off for ever.
    if (now >= checkpoint_at + settings.checkpoint_every) {
      co_await publisher.wait_idle(publish_limit);
    }
    const bool early = fault::is_armed("detector.checkpoint_early");
    if (publisher.is_idle() || early) scope.spawn("checkpoint", commit_all(prepare()));
  }

  // --- the loop

  async::Task<void> step() {
    Result<bus::PollResult> polled = co_await consumer->poll(settings.records_per_poll, poll_wait());
    if (!polled) {
      log::warn("poll_failed", {{"error", polled.error().message}});
      co_await scope.sleep(retry_pause);
      co_return;
    }
    for (const std::int32_t p : polled->lost) lose(p, "lost");
    if (!polled->revoked.empty()) {
      co_await save_now();
    }
    for (const std::int32_t p : polled->revoked) lose(p, "revoked");
    for (const bus::Position& p : polled->assigned) assign(p);
    take(std::move(polled->records));
    for (auto& [number, p] : partitions) {
      if (p->phase == OwnedPartition::Phase::running) apply_queued(*p);
    }
    co_await restore_next();
    if (leases.lapse(scheduler.now())) note_gateways_changed();
    for (auto& [number, p] : partitions) {
      if (p->phase == OwnedPartition::Phase::running) voice.speak(*p, rules.newest_held(), snapshots);
    }
    co_await save_when_due();
    show();
  }

  [[nodiscard]] Millis until(std::chrono::nanoseconds time) const {
    return std::max(Millis(0), std::chrono::ceil<Millis>(time - scheduler.steady_now()));
  }

  Millis poll_wait() {
    Millis wait = poll_wait_max;
    const auto now = scheduler.steady_now();
    if (!is_saving) wait = std::min(wait, std::chrono::duration_cast<Millis>(checkpoint_at - now));
    // Due, and only the publisher is not idle yet: looked at again soon.
    wait = std::max(wait, Millis(publisher.is_idle() ? 1 : 5));
    for (const auto& [number, p] : partitions) {
      if (p->phase == OwnedPartition::Phase::restoring) wait = std::min(wait, until(p->restore_at));
      if (p->paused) wait = std::min(wait, Millis(100));  // rules may come, or room for violations
    }
    return wait;
  }

  async::Task<void> run() {
    checkpoint_at = scheduler.steady_now() + settings.checkpoint_every;
    while (!scope.stopping()) {
      co_await step();
    }
    co_await save_now();
    const Status closed = co_await consumer->close();
    if (!closed) log::warn("consumer_close_failed", {{"error", closed.error().message}});
    partitions.clear();
  }

  // --- what is shown

  [[nodiscard]] std::size_t state_bytes() const {
    std::size_t bytes = 0;
    for (const auto& [number, p] : partitions) bytes += p->engine ? p->engine->state_bytes() : 0;
    return bytes;
  }

  void show() {
    std::array<std::uint64_t, detect::outcome_count> outcomes{};
    std::size_t devices = 0;
    std::size_t not_evaluated = 0;
    std::uint64_t problems = 0;
    std::uint64_t other_dimension_counts = 0;
    std::string not_ready = partitions.empty() ? "no partition is assigned" : "";
    for (const auto& [number, p] : partitions) {
      if (!p->why_not_ready.empty()) not_ready = fmt::format("partition {}: {}", number, p->why_not_ready);
      if (!p->engine) continue;
      devices += p->engine->device_count();
      not_evaluated = std::max(not_evaluated, p->engine->behaviors_not_evaluated());
      problems += p->engine->counters().custom_metric_problems;
      other_dimension_counts += p->engine->counters().other_dimension_counts;
      for (std::size_t i = 0; i < outcomes.size(); ++i) outcomes[i] += p->engine->counters().outcomes[i];
    }
    const auto gauge = [this](std::string_view name, std::string_view help, double value) {
      metrics.gauge(name, help).set(value);
    };
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      const std::string name(to_string(static_cast<detect::Outcome>(i)));
      metrics
          .gauge("fleetward_detector_records",
                 "Records of the owned partitions by where they ended, since their log began", {{"outcome", name}})
          .set(static_cast<double>(outcomes[i]));
    }
    gauge("fleetward_detector_devices", "Devices whose state is held", static_cast<double>(devices));
    gauge("fleetward_detector_state_bytes", "Memory of device states, roughly", static_cast<double>(state_bytes()));
    gauge("fleetward_detector_custom_metric_problems", "Custom metrics in reports that were not taken",
          static_cast<double>(problems));
    gauge("fleetward_detector_other_dimension_counts",
          "Counts of gateways under a version of a dimension that was not in force, so that they were not judged",
          static_cast<double>(other_dimension_counts));
    gauge(
        "fleetward_detector_behaviors_not_evaluated",
        "Behaviors in force that are stored but not evaluated: machine learning, of what is gone, of a cohort too many",
        static_cast<double>(not_evaluated));
    gauge("fleetward_detector_partitions", "Partitions owned", static_cast<double>(partitions.size()));
    const std::lock_guard lock(ready_mutex);
    why_not_ready = std::move(not_ready);
  }

  DetectorSettings settings;
  bus::Bus& bus;
  async::Scheduler& scheduler;
  metrics::Registry& metrics;
  crypto::Random& random;
  async::Scope scope;
  detect::Rules rules;
  detect::Snapshots snapshots;
  ViolationPublisher publisher;
  std::unique_ptr<bus::Consumer> consumer;
  bus::TableFollower follower;  // of the rules
  bus::TableFollower cohorts;   // of their snapshots
  bus::TableFollower gateways;
  GatewayLeases leases;
  OwnerVoice voice;
  std::map<std::int32_t, std::shared_ptr<OwnedPartition>> partitions;
  bool is_saving = false;
  async::Event saved;
  metrics::Counter& checkpoints_saved;
  metrics::Counter& checkpoints_failed;
  std::chrono::nanoseconds checkpoint_at{0};

  mutable std::mutex ready_mutex;
  std::string why_not_ready = "it has not been started";
};

Detector::Detector(DetectorSettings settings, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics,
                   crypto::Random& random)
    : state_(std::make_shared<State>(std::move(settings), bus, scheduler, metrics, random)) {}

Detector::~Detector() = default;

Status Detector::start() {
  const auto devices = state_->bus.partition_count(fleet::topic::devices);
  if (devices == 0 || devices != state_->bus.partition_count(fleet::topic::detector_state)) {
    return Error(
        ErrorCode::failed_precondition,
        "topics devices and detector-state need the same number of partitions, which is fixed at installation");
  }
  bus::ConsumerOptions options;
  options.group = state_->settings.group;
  options.topic = fleet::topic::devices;
  options.member = state_->settings.member;
  options.session_timeout = state_->settings.session_timeout;
  auto consumer = state_->bus.subscribe(state_->scheduler, options);
  if (!consumer) return consumer.error().with_context("detector");
  state_->consumer = std::move(*consumer);
  state_->scope.spawn("rules", state_->follower.run(state_->scope));
  state_->scope.spawn("cohorts", state_->cohorts.run(state_->scope));
  state_->scope.spawn("gateways", state_->gateways.run(state_->scope));
  state_->scope.spawn("detect", state_->run());
  return {};
}

void Detector::stop(Millis limit) {
  state_->scope.request_stop();
  state_->scheduler.post([state = state_] {
    state->follower.wake();
    state->cohorts.wake();
    state->gateways.wake();
    state->wake();
  });
  if (!state_->scope.join(limit)) log::error("detector_stop_timed_out");
}

Status Detector::ready() const {
  const std::lock_guard lock(state_->ready_mutex);
  if (state_->why_not_ready.empty()) return {};
  return Error(ErrorCode::unavailable, state_->why_not_ready);
}

}  // namespace fleetward::detector
