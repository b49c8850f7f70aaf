#include "bus/local_consumer.hpp"

#include <algorithm>
#include <set>

namespace fleetward::bus {
namespace {

class LocalUnitOfWork final : public UnitOfWork {
 public:
  // `epochs`: of the partitions that the consumer has when the work begins.
  LocalUnitOfWork(LocalCorePtr core, async::Scheduler& scheduler, std::string group, std::string topic, MemberId member,
                  std::map<std::int32_t, std::uint64_t> epochs)
      : core_(std::move(core)),
        scheduler_(scheduler),
        group_(std::move(group)),
        topic_(std::move(topic)),
        epochs_(std::move(epochs)) {
    request_.member = member;
  }

  void append(OutRecord record) override { records_.push_back(std::move(record)); }
  void set_offset(std::int32_t partition, std::int64_t next_offset) override {
    const auto epoch = epochs_.find(partition);
    request_.offsets.push_back({group_, topic_, partition, next_offset});
    request_.epochs.push_back(epoch == epochs_.end() ? 0 : epoch->second);
  }

  async::Task<Result<std::vector<Position>>> commit() override {
    if (request_.offsets.empty()) co_return Error(ErrorCode::invalid_argument, "a unit of work needs an offset");
    const Status good = core_->check(records_, request_.bytes);
    if (!good) co_return good.error();
    std::function<void(AppendCallback)> start = [this](AppendCallback done) {
      request_.records = std::make_shared<const std::vector<OutRecord>>(std::move(records_));
      request_.done = std::move(done);
      core_->enqueue(std::move(request_));
    };
    Result<std::vector<Position>> result =
        co_await async::from_callback<Result<std::vector<Position>>>(scheduler_, start);
    co_return result;
  }

 private:
  LocalCorePtr core_;
  async::Scheduler& scheduler_;
  std::string group_;
  std::string topic_;
  std::map<std::int32_t, std::uint64_t> epochs_;
  std::vector<OutRecord> records_;
  WriteRequest request_;
};

class LocalConsumer final : public Consumer {
 public:
  LocalConsumer(LocalCorePtr core, async::Scheduler& scheduler, ConsumerOptions options, MemberId member)
      : core_(std::move(core)),
        scheduler_(scheduler),
        options_(std::move(options)),
        key_(options_.group, options_.topic),
        member_(member),
        event_(std::make_shared<async::Event>(scheduler)) {
    core_->listen(options_.topic, event_);
    core_->rebalance(key_);
  }
  ~LocalConsumer() override { leave(); }

  async::Task<Result<PollResult>> poll(std::size_t records_max, Millis wait) override {
    const Status first = co_await poll_once(records_max);
    if (!first) co_return first.error();
    if (!is_empty(unsaid_) || wait <= Millis(0)) co_return std::exchange(unsaid_, {});
    // Wake up in time to be seen alive, and to notice that others are silent.
    const Millis pause = std::min<Millis>(wait, options_.session_timeout / 3);
    co_await event_->wait(pause);
    core_->rebalance(key_);
    const Status second = co_await poll_once(records_max);
    if (!second) co_return second.error();
    co_return std::exchange(unsaid_, {});
  }

  void wake() override { event_->notify(); }
  std::unique_ptr<UnitOfWork> begin() override {
    return std::make_unique<LocalUnitOfWork>(core_, scheduler_, options_.group, options_.topic, member_, epochs_);
  }
  void pause(std::int32_t partition) override { paused_.insert(partition); }
  void resume(std::int32_t partition) override { paused_.erase(partition); }
  void seek(std::int32_t partition, std::int64_t next_offset) override {
    if (next_.contains(partition)) next_[partition] = next_offset;
  }
  async::Task<Status> close() override {
    leave();
    co_return Status();
  }

 private:
  static bool is_empty(const PollResult& r) {
    return r.revoked.empty() && r.lost.empty() && r.assigned.empty() && r.records.empty();
  }

  void leave() {
    if (std::exchange(left_, true)) return;
    core_->unlisten(event_);
    {
      const std::lock_guard lock(core_->mutex);
      core_->groups.at(key_).leave(member_);
    }
    core_->rebalance(key_);
  }

  // Gathers in unsaid_, which outlives a failed read: a change of assignment is told with the next poll that succeeds.
  async::Task<Status> poll_once(std::size_t records_max) {
    const Status standing = take_changes();
    if (!standing) co_return standing.error();
    while (!unstarted_.empty()) {
      const Group::Assignment next = unstarted_.front();
      const Result<std::int64_t> start = co_await start_of(next.partition);
      if (!start) co_return start.error();
      unstarted_.pop_front();
      next_[next.partition] = *start;
      epochs_[next.partition] = next.epoch;
      unsaid_.assigned.push_back({next.partition, *start});
    }
    const Status read = co_await read_records(records_max);
    co_return read;
  }

  Status take_changes() {
    if (left_) return Error(ErrorCode::failed_precondition, "the consumer is closed");
    bool gave_up = false;
    Group::Changes changes;
    {
      const std::lock_guard lock(core_->mutex);
      Group& group = core_->groups.at(key_);
      const SteadyTime now = scheduler_.steady_now();
      changes = group.take_changes(member_, now, gave_up);
      if (changes.standing == Group::Standing::expired) {
        member_ = group.join(options_.member, options_.session_timeout, now);
      }
    }
    for (const std::int32_t p : given_up_next_) forget(p);
    given_up_next_ = changes.revoked;
    for (const std::int32_t p : changes.lost) forget(p);
    unsaid_.revoked.insert(unsaid_.revoked.end(), changes.revoked.begin(), changes.revoked.end());
    unsaid_.lost.insert(unsaid_.lost.end(), changes.lost.begin(), changes.lost.end());
    unstarted_.insert(unstarted_.end(), changes.assigned.begin(), changes.assigned.end());
    if (changes.standing == Group::Standing::replaced && unsaid_.lost.empty()) {
      return Error(ErrorCode::fenced, "another member of the same name has taken over: " + options_.member);
    }
    if (gave_up || changes.standing == Group::Standing::expired) core_->rebalance(key_);
    return {};
  }

  void forget(std::int32_t partition) {
    next_.erase(partition);
    epochs_.erase(partition);
    std::erase_if(unstarted_, [&](const Group::Assignment& a) { return a.partition == partition; });
    std::erase_if(unsaid_.assigned, [&](const Position& p) { return p.partition == partition; });
    std::erase_if(unsaid_.records, [&](const Record& r) { return r.partition == partition; });
  }

  async::Task<Result<std::int64_t>> start_of(std::int32_t partition) {
    const std::string group = options_.group;
    const std::string topic = options_.topic;
    std::function<Result<std::int64_t>(Storage&)> work = [group, topic, partition](Storage& s) -> Result<std::int64_t> {
      const auto committed = s.committed(group, topic, partition);
      if (!committed) return committed.error();
      if (*committed) return **committed;
      const auto bounds = s.bounds(topic, partition);
      if (!bounds) return bounds.error();
      return bounds->begin;
    };
    Result<std::int64_t> start = co_await on_reader<std::int64_t>(core_, scheduler_, work);
    co_return start;
  }

  async::Task<Status> read_records(std::size_t records_max) {
    Offsets readable;
    for (const auto& [p, offset] : next_) {
      const bool going = std::find(given_up_next_.begin(), given_up_next_.end(), p) != given_up_next_.end();
      if (!going && !paused_.contains(p)) readable[p] = offset;
    }
    if (readable.empty()) co_return Status();
    const std::size_t turn = turn_++;
    const std::string topic = options_.topic;
    const std::size_t bytes_max = options_.batch_bytes_max;
    std::function<Result<std::vector<Record>>(Storage&)> work = [topic, readable, turn, records_max,
                                                                 bytes_max](Storage& s) {
      return read_some(s, topic, readable, turn, records_max, bytes_max);
    };
    Result<std::vector<Record>> some = co_await on_reader<std::vector<Record>>(core_, scheduler_, work);
    if (!some) co_return some.error();
    for (const Record& r : *some) next_[r.partition] = r.offset + 1;
    unsaid_.records = std::move(*some);
    co_return Status();
  }

  LocalCorePtr core_;
  async::Scheduler& scheduler_;
  ConsumerOptions options_;
  GroupKey key_;
  MemberId member_;
  Offsets next_;
  std::map<std::int32_t, std::uint64_t> epochs_;  // of what the caller has been told that it owns
  std::deque<Group::Assignment> unstarted_;       // assigned; where to start has still to be read
  PollResult unsaid_;
  std::set<std::int32_t> paused_;
  std::vector<std::int32_t> given_up_next_;
  std::size_t turn_ = 0;
  bool left_ = false;
  std::shared_ptr<async::Event> event_;
};

}  // namespace

std::unique_ptr<Consumer> make_local_consumer(LocalCorePtr core, async::Scheduler& scheduler, ConsumerOptions options,
                                              MemberId member) {
  return std::make_unique<LocalConsumer>(std::move(core), scheduler, std::move(options), member);
}

}  // namespace fleetward::bus
