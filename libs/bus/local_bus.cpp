#include "bus/local_bus.hpp"

#include <atomic>
#include <deque>
#include <mutex>

#include "bus/groups.hpp"
#include "log/log.hpp"

namespace fleetward::bus {
namespace {

using GroupKey = std::pair<std::string, std::string>;  // group, topic

std::size_t size_of(const OutRecord& r) {
  std::size_t bytes = r.key.size() + (r.value ? r.value->size() : 0);
  for (const Header& h : r.headers) bytes += h.name.size() + h.value.size();
  return bytes;
}

struct WriteRequest {
  std::vector<OutRecord> records;
  std::vector<OffsetCommit> offsets;
  MemberId member = 0;                // 0: a plain append
  std::vector<std::uint64_t> epochs;  // of the member's claim to the partition of each offset; 0: it has none
  std::size_t bytes = 0;
  AppendCallback done;
};

// Everything that the bus, its consumers and its readers share; kept alive by each of them.
struct Core : std::enable_shared_from_this<Core> {
  Core(std::unique_ptr<Storage> s, async::Scheduler& w, async::Scheduler& r, metrics::Registry& m, LocalBusOptions o)
      : storage(std::move(s)),
        writer(w),
        reader(r),
        options(o),
        commits(m.counter("fleetward_bus_commits_total", "Transactions of the bus's writer.")),
        records(m.counter("fleetward_bus_records_total", "Records made durable.")),
        failed(m.counter("fleetward_bus_commits_failed_total", "Transactions of the bus's writer that failed.")),
        throttled(m.counter("fleetward_bus_throttled_total", "Appends refused because the writer's queue was full.")),
        fenced(m.counter("fleetward_bus_fenced_total", "Units of work refused because a newer owner exists.")),
        cleaned(m.counter("fleetward_bus_cleaned_total", "Records removed by retention and compaction.")) {}

  // ---- writing

  void enqueue(WriteRequest request) {
    bool start = false;
    {
      const std::lock_guard lock(mutex);
      if (queued_bytes > 0 && queued_bytes + request.bytes > options.queue_bytes_max) {
        throttled.add();
        const AppendCallback done = std::move(request.done);
        reader.post(
            [done] { done(Error(ErrorCode::throttled, "the bus has too much waiting to be written; retry later")); });
        return;
      }
      queued_bytes += request.bytes;
      queue.push_back(std::move(request));
      start = !std::exchange(draining, true);
    }
    if (start) writer.post([self = shared_from_this()] { self->drain(); });
  }

  void drain() {
    std::vector<WriteRequest> batch;
    {
      const std::lock_guard lock(mutex);
      batch.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(queue.end()));
      queue.clear();
      queued_bytes = 0;
      if (batch.empty()) {
        draining = false;
        return;
      }
    }
    commit(batch);
    writer.post([self = shared_from_this()] { self->drain(); });
  }

  bool may_commit(const WriteRequest& request) {
    if (request.member == 0) return true;
    const std::lock_guard lock(mutex);
    for (std::size_t i = 0; i < request.offsets.size(); ++i) {
      const OffsetCommit& o = request.offsets[i];
      const auto group = groups.find(GroupKey(o.group, o.topic));
      if (group == groups.end() || !group->second.owns(request.member, {o.partition, request.epochs[i]})) return false;
    }
    return !request.offsets.empty();
  }

  void commit(std::vector<WriteRequest>& batch) {
    std::vector<PlacedRecord> placed;
    std::vector<OffsetCommit> offsets;
    std::vector<std::optional<std::size_t>> first(batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (!may_commit(batch[i])) continue;
      first[i] = placed.size();
      for (const OutRecord& r : batch[i].records) {
        const std::int32_t count = partition_count(r.topic);
        placed.push_back({&r, r.partition.value_or(partition_of(r.key, count)), 0});
      }
      offsets.insert(offsets.end(), batch[i].offsets.begin(), batch[i].offsets.end());
    }
    const Status written = placed.empty() && offsets.empty() ? Status() : storage->write(placed, offsets, writer.now());
    (written.ok() ? commits : failed).add();
    if (written.ok()) {
      records.add(placed.size());
      wake_readers(placed);
    } else {
      log::error("bus_write_failed", {{"error", written.error().message}, {"records", placed.size()}});
    }
    for (std::size_t i = 0; i < batch.size(); ++i) answer(batch[i], first[i], placed, written);
  }

  void answer(const WriteRequest& request, std::optional<std::size_t> first, const std::vector<PlacedRecord>& placed,
              const Status& written) {
    if (!first) {
      fenced.add();
      request.done(Error(ErrorCode::fenced, "a newer owner has the partition"));
    } else if (!written) {
      request.done(written.error());
    } else {
      std::vector<Position> positions;
      positions.reserve(request.records.size());
      for (std::size_t k = 0; k < request.records.size(); ++k) {
        positions.push_back({placed[*first + k].partition, placed[*first + k].offset});
      }
      request.done(std::move(positions));
    }
  }

  // ---- topics

  std::int32_t partition_count(std::string_view topic) const {
    const std::lock_guard lock(topics_mutex);
    const auto found = topics.find(topic);
    return found == topics.end() ? 0 : found->second.partitions;
  }

  Status check(const std::vector<OutRecord>& out, std::size_t& bytes) const {
    for (const OutRecord& r : out) {
      const std::int32_t count = partition_count(r.topic);
      if (count == 0) return Error(ErrorCode::not_found, "there is no topic " + r.topic);
      if (r.partition && (*r.partition < 0 || *r.partition >= count)) {
        return Error(ErrorCode::invalid_argument, "no such partition of " + r.topic);
      }
      const std::size_t size = size_of(r);
      if (size > record_bytes_max) return Error(ErrorCode::resource_exhausted, "a record is larger than the bus takes");
      bytes += size;
    }
    return {};
  }

  // ---- waking

  // Under the lock, so that nobody is notified any more once unlisten() has returned: its scheduler may go then.
  void wake_readers(const std::vector<PlacedRecord>& placed) {
    std::set<std::string_view> topics_written;
    for (const PlacedRecord& p : placed) topics_written.insert(p.record->topic);
    for (const std::string_view topic : topics_written) wake_topic(topic);
  }

  void wake_topic(std::string_view topic) {
    const std::lock_guard lock(mutex);
    const auto [from, to] = waiting.equal_range(topic);
    for (auto w = from; w != to; ++w) {
      if (const auto event = w->second.lock()) event->notify();
    }
  }

  void listen(const std::string& topic, const std::shared_ptr<async::Event>& event) {
    const std::lock_guard lock(mutex);
    std::erase_if(waiting, [](const auto& entry) { return entry.second.expired(); });
    waiting.emplace(topic, event);
  }

  void unlisten(const std::shared_ptr<async::Event>& event) {
    const std::lock_guard lock(mutex);
    std::erase_if(waiting, [&](const auto& entry) { return entry.second.expired() || entry.second.lock() == event; });
  }

  // ---- groups: assignment runs on the writer, between commits

  void rebalance(const GroupKey& key) {
    writer.post([self = shared_from_this(), key] { self->rebalance_now(key); });
  }

  void rebalance_now(const GroupKey& key) {
    bool changed = false;
    {
      const std::lock_guard lock(mutex);
      const auto group = groups.find(key);
      if (group == groups.end()) return;
      changed = group->second.rebalance(writer.steady_now());
    }
    if (changed) wake_topic(key.second);
  }

  std::unique_ptr<Storage> storage;
  async::Scheduler& writer;
  async::Scheduler& reader;
  LocalBusOptions options;

  std::mutex mutex;  // queue, groups, waiting
  std::deque<WriteRequest> queue;
  std::size_t queued_bytes = 0;
  bool draining = false;
  std::map<GroupKey, Group> groups;
  std::multimap<std::string, std::weak_ptr<async::Event>, std::less<>> waiting;

  mutable std::mutex topics_mutex;
  std::map<std::string, TopicSpec, std::less<>> topics;

  metrics::Counter& commits;
  metrics::Counter& records;
  metrics::Counter& failed;
  metrics::Counter& throttled;
  metrics::Counter& fenced;
  metrics::Counter& cleaned;
};

using CorePtr = std::shared_ptr<Core>;

// Runs a read on the reader thread; the task goes on on its own scheduler.
template <class T>
async::Task<Result<T>> on_reader(CorePtr core, async::Scheduler& scheduler, std::function<Result<T>(Storage&)> work) {
  std::function<void(std::function<void(Result<T>)>)> start = [core, work](std::function<void(Result<T>)> done) {
    core->reader.post([core, work, done] { done(work(*core->storage)); });
  };
  Result<T> result = co_await async::from_callback<Result<T>>(scheduler, start);
  co_return result;
}

using Offsets = std::map<std::int32_t, std::int64_t>;

// Up to `records_max` records over the partitions at `next`; starts with another partition each time, so that a busy
// one does not starve the rest.
Result<std::vector<Record>> read_some(Storage& storage, const std::string& topic, const Offsets& next, std::size_t turn,
                                      std::size_t records_max, std::size_t bytes_max) {
  std::vector<Record> out;
  std::size_t bytes = 0;
  const std::vector<std::pair<std::int32_t, std::int64_t>> order(next.begin(), next.end());
  for (std::size_t i = 0; i < order.size() && out.size() < records_max; ++i) {
    const auto& [partition, offset] = order[(i + turn) % order.size()];
    if (bytes >= bytes_max) break;
    auto some = storage.read(topic, partition, offset, records_max - out.size(), bytes_max - bytes);
    if (!some) return some.error();
    for (const Record& r : *some) bytes += r.key.size() + (r.value ? r.value->size() : 0);
    out.insert(out.end(), std::make_move_iterator(some->begin()), std::make_move_iterator(some->end()));
  }
  return out;
}

class LocalReader final : public Reader {
 public:
  LocalReader(CorePtr core, async::Scheduler& scheduler, std::string topic, Offsets start, Offsets end)
      : core_(std::move(core)),
        scheduler_(scheduler),
        topic_(std::move(topic)),
        next_(std::move(start)),
        end_(std::move(end)),
        event_(std::make_shared<async::Event>(scheduler)) {
    core_->listen(topic_, event_);
  }
  ~LocalReader() override { core_->unlisten(event_); }

  async::Task<Result<std::vector<Record>>> poll(std::size_t records_max, Millis wait) override {
    Result<std::vector<Record>> some = co_await read(records_max);
    if (!some.ok() || !some->empty() || wait <= Millis(0)) co_return some;
    co_await event_->wait(wait);
    some = co_await read(records_max);
    co_return some;
  }

  void wake() override { event_->notify(); }

  [[nodiscard]] bool caught_up() const override {
    return std::all_of(end_.begin(), end_.end(), [this](const auto& e) { return next_.at(e.first) >= e.second; });
  }

  [[nodiscard]] std::vector<Position> positions() const override {
    std::vector<Position> out;
    for (const auto& [partition, offset] : next_) out.push_back({partition, offset});
    return out;
  }

 private:
  async::Task<Result<std::vector<Record>>> read(std::size_t records_max) {
    const std::size_t turn = turn_++;
    const Offsets next = next_;
    const std::string topic = topic_;
    std::function<Result<std::vector<Record>>(Storage&)> work = [topic, next, turn, records_max](Storage& storage) {
      return read_some(storage, topic, next, turn, records_max, 8 << 20);
    };
    Result<std::vector<Record>> some = co_await on_reader<std::vector<Record>>(core_, scheduler_, work);
    if (!some) co_return some.error();
    for (const Record& r : *some) next_[r.partition] = r.offset + 1;
    if (some->empty()) {  // compaction may have taken the records before the end away
      for (const auto& [partition, end] : end_) next_[partition] = std::max(next_[partition], end);
    }
    co_return some;
  }

  CorePtr core_;
  async::Scheduler& scheduler_;
  std::string topic_;
  Offsets next_;
  Offsets end_;  // when the reader was made
  std::size_t turn_ = 0;
  std::shared_ptr<async::Event> event_;
};

class LocalUnitOfWork final : public UnitOfWork {
 public:
  // `epochs`: of the partitions that the consumer has when the work begins.
  LocalUnitOfWork(CorePtr core, async::Scheduler& scheduler, std::string group, std::string topic, MemberId member,
                  std::map<std::int32_t, std::uint64_t> epochs)
      : core_(std::move(core)),
        scheduler_(scheduler),
        group_(std::move(group)),
        topic_(std::move(topic)),
        epochs_(std::move(epochs)) {
    request_.member = member;
  }

  void append(OutRecord record) override { request_.records.push_back(std::move(record)); }
  void set_offset(std::int32_t partition, std::int64_t next_offset) override {
    const auto epoch = epochs_.find(partition);
    request_.offsets.push_back({group_, topic_, partition, next_offset});
    request_.epochs.push_back(epoch == epochs_.end() ? 0 : epoch->second);
  }

  async::Task<Result<std::vector<Position>>> commit() override {
    if (request_.offsets.empty()) co_return Error(ErrorCode::invalid_argument, "a unit of work needs an offset");
    const Status good = core_->check(request_.records, request_.bytes);
    if (!good) co_return good.error();
    std::function<void(AppendCallback)> start = [this](AppendCallback done) {
      request_.done = std::move(done);
      core_->enqueue(std::move(request_));
    };
    Result<std::vector<Position>> result =
        co_await async::from_callback<Result<std::vector<Position>>>(scheduler_, start);
    co_return result;
  }

 private:
  CorePtr core_;
  async::Scheduler& scheduler_;
  std::string group_;
  std::string topic_;
  std::map<std::int32_t, std::uint64_t> epochs_;
  WriteRequest request_;
};

class LocalConsumer final : public Consumer {
 public:
  LocalConsumer(CorePtr core, async::Scheduler& scheduler, ConsumerOptions options, MemberId member)
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

  CorePtr core_;
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

class LocalBus final : public Bus {
 public:
  explicit LocalBus(CorePtr core) : core_(std::move(core)) { schedule_clean(core_); }

  Status ensure_topics(const std::vector<TopicSpec>& specs) override {
    for (const TopicSpec& spec : specs) {
      if (const Status made = core_->storage->ensure_topic(spec); !made) return made;
      const std::lock_guard lock(core_->topics_mutex);
      core_->topics[spec.name] = spec;
    }
    return {};
  }

  [[nodiscard]] std::int32_t partition_count(std::string_view topic) const override {
    return core_->partition_count(topic);
  }

  void append(std::vector<OutRecord> records, AppendCallback done) override {
    WriteRequest request;
    if (const Status good = core_->check(records, request.bytes); !good) {
      core_->reader.post([done = std::move(done), error = good.error()] { done(error); });
      return;
    }
    request.records = std::move(records);
    request.done = std::move(done);
    core_->enqueue(std::move(request));
  }

  Result<std::unique_ptr<Consumer>> subscribe(async::Scheduler& scheduler, ConsumerOptions options) override {
    const std::int32_t partitions = core_->partition_count(options.topic);
    if (partitions == 0) return Error(ErrorCode::not_found, "there is no topic " + options.topic);
    MemberId member = 0;
    {
      const std::lock_guard lock(core_->mutex);
      auto& group = core_->groups.try_emplace(GroupKey(options.group, options.topic), partitions).first->second;
      member = group.join(options.member, options.session_timeout, scheduler.steady_now());
    }
    return std::unique_ptr<Consumer>(std::make_unique<LocalConsumer>(core_, scheduler, std::move(options), member));
  }

  Result<std::unique_ptr<Reader>> read(async::Scheduler& scheduler, std::string topic,
                                       std::vector<Position> start) override {
    Offsets from;
    Offsets to;
    for (const Position& p : start) {
      const auto bounds = core_->storage->bounds(topic, p.partition);
      if (!bounds) return bounds.error();
      from[p.partition] = std::max(p.offset, bounds->begin);
      to[p.partition] = bounds->end;
    }
    return std::unique_ptr<Reader>(
        std::make_unique<LocalReader>(core_, scheduler, std::move(topic), std::move(from), std::move(to)));
  }

  async::Task<Result<std::vector<PartitionRange>>> ranges(async::Scheduler& scheduler, std::string topic) override {
    const std::int32_t count = core_->partition_count(topic);
    std::function<Result<std::vector<PartitionRange>>(Storage&)> work =
        [topic, count](Storage& s) -> Result<std::vector<PartitionRange>> {
      std::vector<PartitionRange> out;
      for (std::int32_t p = 0; p < count; ++p) {
        const auto bounds = s.bounds(topic, p);
        if (!bounds) return bounds.error();
        out.push_back({p, bounds->begin, bounds->end});
      }
      return out;
    };
    Result<std::vector<PartitionRange>> out = co_await on_reader<std::vector<PartitionRange>>(core_, scheduler, work);
    co_return out;
  }

  async::Task<Result<std::vector<Position>>> committed(async::Scheduler& scheduler, std::string group,
                                                       std::string topic) override {
    const std::int32_t count = core_->partition_count(topic);
    std::function<Result<std::vector<Position>>(Storage&)> work = [group, topic,
                                                                   count](Storage& s) -> Result<std::vector<Position>> {
      std::vector<Position> out;
      for (std::int32_t p = 0; p < count; ++p) {
        const auto offset = s.committed(group, topic, p);
        if (!offset) return offset.error();
        if (*offset) out.push_back({p, **offset});
      }
      return out;
    };
    Result<std::vector<Position>> out = co_await on_reader<std::vector<Position>>(core_, scheduler, work);
    co_return out;
  }

 private:
  static void schedule_clean(const CorePtr& core) {
    if (core->options.clean_every <= Millis(0)) return;
    std::weak_ptr<Core> weak = core;
    core->writer.post([weak] {
      if (const auto alive = weak.lock()) {
        alive->writer.call_after(alive->options.clean_every, [weak] {
          if (const auto still = weak.lock()) clean(still);
        });
      }
    });
  }

  static void clean(const CorePtr& core) {
    auto left = std::make_shared<std::deque<std::pair<TopicSpec, std::int32_t>>>();
    {
      const std::lock_guard lock(core->topics_mutex);
      for (const auto& [name, spec] : core->topics) {
        for (std::int32_t p = 0; p < spec.partitions; ++p) left->emplace_back(spec, p);
      }
    }
    clean_step(core, left);
  }

  // One small step at a time, so that appends hardly wait; comes back to a partition until it has nothing more to do.
  static void clean_step(const CorePtr& core,
                         const std::shared_ptr<std::deque<std::pair<TopicSpec, std::int32_t>>>& left) {
    constexpr std::size_t rows_a_step = 1'000;
    constexpr Millis pause{5};
    if (left->empty()) {
      schedule_clean(core);
      return;
    }
    const auto [spec, partition] = left->front();
    left->pop_front();
    const auto step = core->storage->clean(spec, partition, core->writer.now(), core->options.table_keep, rows_a_step);
    if (!step) log::warn("bus_clean_failed", {{"topic", spec.name}, {"error", step.error().message}});
    else if (step->more) left->emplace_back(spec, partition);
    if (step) core->cleaned.add(static_cast<std::uint64_t>(step->removed));
    std::weak_ptr<Core> weak = core;
    core->writer.call_after(pause, [weak, left] {
      if (const auto alive = weak.lock()) clean_step(alive, left);
    });
  }

  CorePtr core_;
};

}  // namespace

std::unique_ptr<Bus> make_local_bus(std::unique_ptr<Storage> storage, async::Scheduler& writer,
                                    async::Scheduler& reader, metrics::Registry& metrics, LocalBusOptions options) {
  return std::make_unique<LocalBus>(std::make_shared<Core>(std::move(storage), writer, reader, metrics, options));
}

}  // namespace fleetward::bus
