#include "bus/kafka_consumer.hpp"

#include <algorithm>
#include <mutex>
#include <set>

#include "bus/kafka_member.hpp"
#include "bus/kafka_stall.hpp"
#include "bus/kafka_unit.hpp"
#include "log/log.hpp"

namespace fleetward::bus::kafka {
namespace {

constexpr Millis settle_wait{20};
constexpr int settle_rounds_max = 50;
// How long what a client has asked of the group may still reach it after another one took its place, beside two
// sessions.
constexpr Millis on_its_way_max{10'000};

class KafkaConsumer final : public Consumer {
 public:
  KafkaConsumer(KafkaCorePtr core, async::Scheduler& scheduler, ConsumerOptions options,
                std::shared_ptr<GroupMember> member)
      : core_(std::move(core)),
        scheduler_(scheduler),
        options_(std::move(options)),
        ownership_(std::make_shared<Ownership>()),
        stall_(scheduler),
        event_(scheduler) {
    // No longer than half of what would be silence.
    wait_max_ = std::min(Millis(2'000), options_.session_timeout / 2);
    take(std::move(member));
  }
  ~KafkaConsumer() override { let_go(true); }

  async::Task<Result<PollResult>> poll(std::size_t records_max, Millis wait) override {
    if (!ownership_->member) co_return Error(ErrorCode::failed_precondition, "the consumer is closed");
    Status polled = co_await poll_once(records_max);
    const bool has_something =
        !unsaid_.records.empty() || !unsaid_.assigned.empty() || !unsaid_.revoked.empty() || !unsaid_.lost.empty();
    if (polled.ok() && !has_something && wait > Millis(0)) {
      co_await event_.wait(std::min(wait, wait_max_));
      polled = co_await poll_once(records_max);
    }
    if (!polled) co_return polled.error();
    co_return std::exchange(unsaid_, {});
  }

  void wake() override { event_.notify(); }

  std::unique_ptr<UnitOfWork> begin() override { return make_unit_of_work(core_, scheduler_, ownership_); }

  // What these ask for is done by the next poll(), before it reads.
  void pause(std::int32_t partition) override {
    if (paused_.insert(partition).second) controls_.push_back({Control::Kind::pause, {partition, 0}});
  }
  void resume(std::int32_t partition) override {
    if (paused_.erase(partition) == 0) return;
    stall_.begin_anew(partition);
    controls_.push_back({Control::Kind::resume, {partition, 0}});
  }
  void seek(std::int32_t partition, std::int64_t next_offset) override {
    controls_.push_back({Control::Kind::seek, {partition, next_offset}});
  }

  async::Task<Status> close() override {
    std::shared_ptr<GroupMember> member = ownership_->member;
    if (!member) co_return Status();
    member->listen(nullptr);
    auto change = std::make_shared<Event>(std::move(change_));
    std::function<Result<void>()> leave = [member, change] { return member->leave(std::move(*change)); };
    const Status left = co_await on_thread<void>(member->worker(), scheduler_, leave);
    leave = nullptr;
    change.reset();
    member.reset();
    let_go(false);
    co_return left;
  }

 private:
  struct Control {
    enum class Kind { pause, resume, seek } kind;
    Position to;
  };

  // A question under way on the thread of look-ups.
  struct EndsAsked {
    std::vector<std::int32_t> partitions;
    std::mutex mutex;
    std::vector<PartitionBounds> ends;  // of these, in this order; fewer: there was nobody to ask
    bool is_answered = false;
  };

  void take(std::shared_ptr<GroupMember> member) {
    ownership_->member = std::move(member);
    ownership_->member->listen(&event_);
    ownership_->member->worker().post([m = ownership_->member, topic = options_.topic] {
      const Status joined = m->join();
      if (!joined) log::error("kafka_join_failed", {{"topic", topic}, {"error", joined.error().message}});
    });
  }

  // The closer ends it, after what its worker still has to do.
  void let_go(bool leaves) {
    ownership_->epochs.clear();
    if (!ownership_->member) return;
    ownership_->member->listen(nullptr);
    auto change = std::make_shared<Event>(std::move(change_));
    core_->closer.post([member = std::move(ownership_->member), leaves, change]() mutable {
      member->worker().run_and_wait([&] {
        if (leaves) (void)member->leave(std::move(*change));  // it has logged what went wrong
        else (void)member->close(std::move(*change));
      });
      change.reset();
      member.reset();
    });
    ownership_->member = nullptr;
  }

  // Gathers in unsaid_, which outlives a failure: a change of assignment is told with the next poll that succeeds.
  async::Task<Status> poll_once(std::size_t records_max) {
    if (is_replaced_ && unsaid_.lost.empty()) {
      co_return Error(ErrorCode::fenced, "another member of the same name has taken over: " + options_.member);
    }
    const bool gives_up = !giving_up_.empty();
    const Status given = co_await give_up();
    if (!given) co_return given.error();
    const Status controlled = co_await control();
    if (!controlled) co_return controlled.error();
    watch_for_stall();
    Status drained = drain(records_max);
    // Once it has given up, the client asks to be assigned anew before it lets the group go on: at once, so that nobody
    // waits for this member's next poll.
    for (int i = 0; gives_up && is_open(drained, records_max) && i < settle_rounds_max; ++i) {
      co_await event_.wait(settle_wait);
      drained = drain(records_max);
    }
    if (!drained) co_return drained.error();
    if (change_ && !is_expired_) {
      const Status changed = co_await handle_change();
      if (!changed) co_return changed.error();
    }
    if (is_expired_) co_return renew();
    co_return Status();
  }

  // Whether draining on may still bring a change.
  [[nodiscard]] bool is_open(const Status& drained, std::size_t records_max) const {
    return drained.ok() && !change_ && !is_expired_ && !is_replaced_ && unsaid_.records.size() < records_max;
  }

  async::Task<Status> give_up() {
    if (giving_up_.empty()) co_return Status();
    for (const std::int32_t p : giving_up_) forget(p);
    std::function<Result<void>()> work = [member = ownership_->member, partitions = giving_up_] {
      return member->give_up(partitions);
    };
    const Status given = co_await on_thread<void>(ownership_->member->worker(), scheduler_, work);
    if (given) giving_up_.clear();
    co_return given;
  }

  async::Task<Status> control() {
    while (!controls_.empty()) {
      const Control next = controls_.front();
      std::function<Result<void>()> work = [member = ownership_->member, next]() -> Status {
        if (next.kind == Control::Kind::pause) return member->pause(next.to.partition);
        if (next.kind == Control::Kind::resume) return member->resume(next.to.partition);
        return member->seek(next.to);
      };
      if (ownership_->epochs.contains(next.to.partition)) {  // else it has gone meanwhile
        const Status done = co_await on_thread<void>(ownership_->member->worker(), scheduler_, work);
        if (!done) co_return done.error();
      }
      controls_.pop_front();
    }
    co_return Status();
  }

  // Up to so many records, or a change of the assignment, whichever comes first.
  Status drain(std::size_t records_max) {
    if (change_ || is_expired_) return {};
    std::size_t bytes = 0;
    while (unsaid_.records.size() < records_max && bytes < options_.batch_bytes_max) {
      Event event = ownership_->member->next();
      if (!event) break;
      const rd_kafka_event_type_t type = rd_kafka_event_type(event.get());
      if (type == RD_KAFKA_EVENT_REBALANCE) {
        change_ = std::move(event);
        break;
      }
      if (type == RD_KAFKA_EVENT_ERROR) {
        if (note_end(event.get())) continue;
        if (const Status passed = note_error(event.get()); !passed) return passed;
        if (is_replaced_ || is_expired_) break;
        continue;
      }
      while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event.get())) {
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;  // what it does not get, the client asks for again
        bytes += message->len + message->key_len;
        unsaid_.records.push_back(to_record(*message));
        stall_.note_progress(message->partition, message->offset + 1);
      }
    }
    return {};
  }

  // False: it says something else.
  bool note_end(rd_kafka_event_t* event) {
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__PARTITION_EOF) return false;
    const Owned<rd_kafka_topic_partition_t, rd_kafka_topic_partition_destroy> at(rd_kafka_event_topic_partition(event));
    if (at) stall_.note_end(at->partition, at->offset);
    return true;
  }

  Status note_error(rd_kafka_event_t* event) {
    const rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const Error error = to_error(code, "consume " + options_.topic, rd_kafka_event_error_string(event));
    if (rd_kafka_event_error_is_fatal(event) == 1 && scheduler_.steady_now() < shadow_until_) {
      log::warn("kafka_consumer_fenced_by_its_shadow", {{"member", options_.member}, {"error", error.message}});
      is_expired_ = is_fenced_by_shadow_ = true;
      return {};
    }
    if (rd_kafka_event_error_is_fatal(event) == 1) {
      log::error("kafka_consumer_fenced", {{"member", options_.member}, {"error", error.message}});
      is_replaced_ = true;
      lose_all();
      return unsaid_.lost.empty() ? Status(Error(ErrorCode::fenced, error.message)) : Status();
    }
    if (error.code != ErrorCode::unavailable) return error;
    log::warn("kafka_consume_failed", {{"topic", options_.topic}, {"error", error.message}});
    // It was silent too long. Otherwise the client goes on trying.
    is_expired_ = is_expired_ || code == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED;
    return {};
  }

  async::Task<Status> handle_change() {
    std::vector<std::int32_t> partitions;
    const rd_kafka_topic_partition_list_t* const list = rd_kafka_event_topic_partition_list(change_.get());
    for (int i = 0; list != nullptr && i < list->cnt; ++i) partitions.push_back(list->elems[i].partition);
    std::function<Result<bool>()> work = [member = ownership_->member] { return member->note_membership(); };
    const Result<bool> is_member = co_await on_thread<bool>(ownership_->member->worker(), scheduler_, work);
    if (!is_member) co_return is_member.error();
    if (!*is_member) {
      is_expired_ = true;
      co_return Status();
    }
    if (rd_kafka_event_error(change_.get()) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      const Status taken = co_await take_partitions(partitions);
      if (taken || taken.error().code != ErrorCode::unavailable) co_return taken;
      // Where to start is not known yet: the owner before may be about to say so. The next poll asks again.
      log::warn("kafka_assignment_waits", {{"topic", options_.topic}, {"error", taken.error().message}});
    } else {
      for (const std::int32_t p : partitions) {
        std::erase_if(unsaid_.records, [&](const Record& r) { return r.partition == p; });
        unsaid_.revoked.push_back(p);
      }
      giving_up_ = partitions;
      change_.reset();
    }
    co_return Status();
  }

  async::Task<Status> take_partitions(std::vector<std::int32_t> partitions) {
    std::vector<std::int32_t> paused;
    std::copy_if(partitions.begin(), partitions.end(), std::back_inserter(paused),
                 [this](std::int32_t p) { return paused_.contains(p); });
    std::function<Result<std::vector<Position>>()> work = [member = ownership_->member, partitions, paused] {
      Result<std::vector<Position>> start = member->assign(partitions);
      for (const std::int32_t p : paused) {
        if (!start) break;
        if (const Status held = member->pause(p); !held) start = held.error();
      }
      return start;
    };
    const Result<std::vector<Position>> start =
        co_await on_thread<std::vector<Position>>(ownership_->member->worker(), scheduler_, work);
    if (!start) co_return start.error();
    change_.reset();
    for (const Position& p : *start) {
      ownership_->epochs[p.partition] = ++last_epoch_;
      unsaid_.assigned.push_back(p);
      stall_.note_progress(p.partition, p.offset);
    }
    co_return Status();
  }

  // Now and then: a client that gets nothing although there is more to read is made anew. Nobody waits for the
  // ends: while a broker is away the question takes longer than a member may be silent.
  void watch_for_stall() {
    if (ends_asked_ != nullptr) {
      const std::lock_guard lock(ends_asked_->mutex);
      if (!ends_asked_->is_answered) return;
    }
    if (const auto ends = std::exchange(ends_asked_, nullptr)) judge(*ends);
    std::vector<std::int32_t> partitions;
    for (const auto& [p, epoch] : ownership_->epochs) {
      if (!paused_.contains(p)) partitions.push_back(p);
    }
    if (partitions.empty() || change_ || !stall_.is_due()) return;
    ends_asked_ = std::make_shared<EndsAsked>();
    ends_asked_->partitions = partitions;
    core_->lookups.post([core = core_.get(), topic = options_.topic, asked = ends_asked_] {
      std::vector<PartitionBounds> ends;
      for (const std::int32_t p : asked->partitions) {
        const Result<PartitionBounds> bounds = core->lookup->bounds(topic, p);
        if (!bounds) break;  // nobody to ask: no stall of ours
        ends.push_back(*bounds);
      }
      const std::lock_guard lock(asked->mutex);
      asked->ends = std::move(ends);
      asked->is_answered = true;
    });
  }

  void judge(const EndsAsked& asked) {
    bool is_stalled = false;
    for (std::size_t i = 0; i < asked.partitions.size(); ++i) {
      const std::int32_t p = asked.partitions[i];
      if (paused_.contains(p)) continue;
      if (i >= asked.ends.size()) stall_.begin_anew(p);  // no broker to read from either
      else if (stall_.is_stalled(p, asked.ends[i].end)) is_stalled = true;
    }
    if (!is_stalled) return;
    log::warn("kafka_consumer_stalled", {{"group", options_.group}, {"topic", options_.topic}});
    core_->stalls.add();
    is_expired_ = true;
  }

  // Takes part again as another member, which claims nothing that the one before had. That one's client may have been
  // about to join by itself: if the group hears of it later, it is taken for the newer of the two.
  Status renew() {
    lose_all();
    Result<std::shared_ptr<GroupMember>> fresh = GroupMember::make(core_, options_);
    if (!fresh) return fresh.error();
    // That it was fenced by it does not make the time longer: another process of its name would be fought for ever.
    if (!std::exchange(is_fenced_by_shadow_, false)) {
      shadow_until_ = scheduler_.steady_now() + 2 * options_.session_timeout + on_its_way_max;
    }
    is_expired_ = false;
    giving_up_.clear();
    let_go(false);
    take(std::move(*fresh));
    return {};
  }

  void lose_all() {
    std::vector<std::int32_t> all;
    for (const auto& [p, epoch] : ownership_->epochs) all.push_back(p);
    for (const std::int32_t p : all) {
      // Who was not told that it has it is not told that it has it no more.
      const bool was_told = std::none_of(unsaid_.assigned.begin(), unsaid_.assigned.end(),
                                         [p](const Position& a) { return a.partition == p; });
      forget(p);
      if (was_told) unsaid_.lost.push_back(p);
    }
  }

  void forget(std::int32_t partition) {
    ownership_->epochs.erase(partition);
    stall_.forget(partition);
    std::erase_if(unsaid_.assigned, [&](const Position& p) { return p.partition == partition; });
    std::erase_if(unsaid_.records, [&](const Record& r) { return r.partition == partition; });
  }

  KafkaCorePtr core_;
  async::Scheduler& scheduler_;
  ConsumerOptions options_;
  Millis wait_max_;
  std::shared_ptr<Ownership> ownership_;
  StallWatch stall_;
  std::shared_ptr<EndsAsked> ends_asked_;
  std::deque<Control> controls_;
  std::set<std::int32_t> paused_;
  std::vector<std::int32_t> giving_up_;  // told as revoked; the next poll gives them back
  Event change_;                         // of the assignment; not handled yet
  PollResult unsaid_;
  std::uint64_t last_epoch_ = 0;
  bool is_replaced_ = false;                  // by another of its name
  bool is_expired_ = false;                   // its partitions are lost: it takes part again as another member
  bool is_fenced_by_shadow_ = false;          // expired by the member that it was before
  std::chrono::nanoseconds shadow_until_{0};  // until then it is that one's doing when it is fenced; steady
  async::Event event_;
};

}  // namespace

Result<std::unique_ptr<Consumer>> make_consumer(KafkaCorePtr core, async::Scheduler& scheduler,
                                                ConsumerOptions options) {
  Result<std::shared_ptr<GroupMember>> member = GroupMember::make(core, options);
  if (!member) return member.error();
  return std::unique_ptr<Consumer>(
      std::make_unique<KafkaConsumer>(std::move(core), scheduler, std::move(options), std::move(*member)));
}

}  // namespace fleetward::bus::kafka
