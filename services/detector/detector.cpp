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
#include "services/detector/restore.hpp"
#include "services/detector/shown.hpp"
#include "services/detector/state_room.hpp"

namespace fleetward::detector {
namespace {

constexpr Millis retry_pause{500};
constexpr Millis room_pause{3'000};     // before a state that did not fit is tried again
constexpr Millis publish_limit{5'000};  // how long a checkpoint waits for violations; then it is put off
constexpr Millis poll_wait_max{1'000};
constexpr std::size_t restores_max = 4;  // at once: each waits now and then, and has its own buffers

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
        source{b, sch, settings.group, rules, snapshots, [this](const OwnedPartition& p) { return goes_on(p); }},
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

  [[nodiscard]] std::vector<PartitionBytes> due_to_restore() const {
    const auto now = scheduler.steady_now();
    std::vector<PartitionBytes> due;
    for (const auto& [number, p] : partitions) {
      if (p->phase == OwnedPartition::Phase::restoring && !p->is_being_read && now >= p->restore_at)
        due.push_back({number, p->bytes_needed});
    }
    return due;
  }

  // Beside the polls: who is silent while it reads loses what it has to others.
  void restore_due() {
    while (restores_running < restores_max) {
      const auto next = next_to_take(due_to_restore(), state_bytes(partitions), settings.state_bytes_max);
      if (!next) return;
      const std::shared_ptr<OwnedPartition>& owned = partitions.at(*next);
      owned->is_being_read = true;
      ++restores_running;
      scope.spawn("restore", restore_one(owned));
    }
  }

  [[nodiscard]] bool is_held(const std::shared_ptr<OwnedPartition>& owned) const {
    const auto at = partitions.find(owned->partition);
    return at != partitions.end() && at->second == owned;
  }

  [[nodiscard]] bool goes_on(const OwnedPartition& p) const {
    const auto at = partitions.find(p.partition);
    const bool is_given_up = at == partitions.end() || at->second.get() != &p;
    return !scope.stopping() && !is_given_up && state_bytes(partitions) <= settings.state_bytes_max;
  }

  async::Task<void> restore_one(std::shared_ptr<OwnedPartition> owned) {
    OwnedPartition& p = *owned;
    const auto began = scheduler.steady_now();
    Result<std::unique_ptr<detect::PartitionEngine>> engine = co_await restore(source, owned);
    --restores_running;
    p.bytes_read = 0;
    p.is_being_read = false;
    p.restore_at = scheduler.steady_now() + retry_pause;
    wake();
    if (!is_held(owned)) co_return;
    if (!engine) {
      p.why_not_ready = engine.error().message;
      const ErrorCode code = engine.error().code;
      const bool retryable = is_retryable(code) || code == ErrorCode::failed_precondition;
      if (!retryable) log::error("restore_failed", {{"partition", p.partition}, {"error", engine.error().message}});
      co_return;
    }
    if (!*engine) {  // others are being read, and have their place only when they are done
      p.restore_at = scheduler.steady_now() + room_pause;
      co_return;
    }
    p.engine = std::move(*engine);
    take_over(p);
    log::info("partition_owned", {{"partition", p.partition},
                                  {"offset", p.start_offset},
                                  {"devices", p.engine->device_count()},
                                  {"restore_ms", (p.last_read - began) / Millis(1)}});
  }

  // Those that run have grown over the limit: the state of one is saved and let go of, and it waits like the others.
  async::Task<void> make_room() {
    std::vector<PartitionBytes> held;
    for (const auto& [number, p] : partitions) {
      if (p->engine) held.push_back({number, p->engine->state_bytes()});
    }
    const std::optional<std::int32_t> next = next_to_leave(held, settings.state_bytes_max);
    if (!next || scheduler.steady_now() < make_room_at) co_return;
    make_room_at = scheduler.steady_now() + retry_pause;
    const std::shared_ptr<OwnedPartition> owned = partitions.at(*next);
    co_await save_now();
    if (!is_held(owned) || owned->saved_offset != owned->engine->next_offset()) co_return;  // another time
    const std::size_t bytes = owned->engine->state_bytes();
    assign({owned->partition, owned->saved_offset});
    partitions.at(owned->partition)->bytes_needed = bytes;
  }

  void note_who_waits_for_room() {
    const std::size_t held = state_bytes(partitions);
    for (auto& [number, p] : partitions) {
      const bool waits =
          p->phase == OwnedPartition::Phase::restoring && !has_room(p->bytes_needed, held, settings.state_bytes_max);
      if (waits && !p->waits_for_room) {
        log::warn("partition_paused", {{"partition", number},
                                       {"state_bytes", p->bytes_needed},
                                       {"held_bytes", held},
                                       {"state_bytes_max", settings.state_bytes_max},
                                       {"advice", "raise detector.state_bytes_max, or start another detector"}});
      }
      p->waits_for_room = waits;
    }
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
    if (is_held(owned)) lose(owned->partition, why);
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
    if (is_saving || restores_running > 0) {
      co_await scope.sleep(Millis(0));  // they have a turn, also where each poll has records at once
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
    co_await make_room();
    restore_due();
    note_who_waits_for_room();
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
    const bool may_restore = restores_running < restores_max;  // else the end of one wakes us
    for (const auto& [number, p] : partitions) {
      const bool is_next = p->phase == OwnedPartition::Phase::restoring && !p->is_being_read && !p->waits_for_room;
      if (is_next && may_restore) wait = std::min(wait, std::max(until(p->restore_at), Millis(1)));
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

  void show() {
    show_partitions(partitions, metrics);
    const std::lock_guard lock(ready_mutex);
    why_not_ready = detector::why_not_ready(partitions, settings.state_bytes_max);
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
  RestoreSource source;
  Partitions partitions;
  std::size_t restores_running = 0;
  bool is_saving = false;
  async::Event saved;
  metrics::Counter& checkpoints_saved;
  metrics::Counter& checkpoints_failed;
  std::chrono::nanoseconds checkpoint_at{0};
  std::chrono::nanoseconds make_room_at{0};

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
