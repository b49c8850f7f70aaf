#include "simulation/process_bus.hpp"

namespace fleetward::simulation {
namespace {

Error away() { return {ErrorCode::unavailable, "the bus cannot be reached"}; }

}  // namespace

using Claims = std::map<std::int32_t, GroupOracle::Claim>;  // by partition

class ProcessWork final : public bus::UnitOfWork {
 public:
  ProcessWork(ProcessBus& bus, std::unique_ptr<bus::UnitOfWork> inner, const bus::ConsumerOptions& member,
              Claims claims)
      : bus_(bus), inner_(std::move(inner)), member_(member), claims_(std::move(claims)) {}
  void append(bus::OutRecord record) override { inner_->append(std::move(record)); }
  void set_offset(std::int32_t partition, std::int64_t next_offset) override {
    inner_->set_offset(partition, next_offset);
    offsets_.push_back({member_.group, member_.topic, partition, next_offset});
  }
  async::Task<Result<std::vector<bus::Position>>> commit() override {
    if (bus_.universe_.choice().one_in(bus_.faults_.commit_stalls)) bus_.stand_still();
    co_await bus_.be_late();
    if (bus_.fails(bus_.faults_.commit_refused)) co_return away();
    tell(&GroupOracle::on_commit);
    Result<std::vector<bus::Position>> done = co_await inner_->commit();
    if (!done) tell(&GroupOracle::on_refused);
    if (done.ok() && bus_.universe_.choice().one_in(bus_.faults_.commit_unsaid)) co_return away();
    co_return done;
  }

 private:
  void tell(void (GroupOracle::*what)(const GroupOracle::Offset&, GroupOracle::Claim)) {
    if (bus_.groups == nullptr) return;
    for (const GroupOracle::Offset& o : offsets_) {
      const auto claim = claims_.find(o.partition);
      (bus_.groups->*what)(o, claim == claims_.end() ? 0 : claim->second);
    }
  }

  ProcessBus& bus_;
  std::unique_ptr<bus::UnitOfWork> inner_;
  const bus::ConsumerOptions member_;
  const Claims claims_;
  std::vector<GroupOracle::Offset> offsets_;
};

class ProcessConsumer final : public bus::Consumer {
 public:
  ProcessConsumer(ProcessBus& bus, std::unique_ptr<bus::Consumer> inner, bus::ConsumerOptions member)
      : bus_(bus), inner_(std::move(inner)), member_(std::move(member)) {}
  ~ProcessConsumer() override {
    if (bus_.is_dead()) bus_.leave_behind(std::move(inner_));
  }
  async::Task<Result<bus::PollResult>> poll(std::size_t records_max, Millis wait) override {
    if (bus_.fails(bus_.faults_.poll_fails)) co_return away();
    Result<bus::PollResult> polled = co_await inner_->poll(records_max, wait);
    if (polled.ok()) note(*polled);
    co_await bus_.be_late();
    co_return polled;
  }
  void wake() override { inner_->wake(); }
  std::unique_ptr<bus::UnitOfWork> begin() override {
    return std::make_unique<ProcessWork>(bus_, inner_->begin(), member_, claims_);
  }
  void pause(std::int32_t partition) override { inner_->pause(partition); }
  void resume(std::int32_t partition) override { inner_->resume(partition); }
  void seek(std::int32_t partition, std::int64_t next_offset) override { inner_->seek(partition, next_offset); }
  async::Task<Status> close() override {
    const Status closed = co_await inner_->close();
    co_return closed;
  }

 private:
  void note(const bus::PollResult& polled) {
    if (bus_.groups == nullptr) return;
    for (const std::int32_t p : polled.lost) claims_.erase(p);
    for (const bus::Position& p : polled.assigned) claims_[p.partition] = bus_.groups->on_assigned(member_, p);
  }

  ProcessBus& bus_;
  std::unique_ptr<bus::Consumer> inner_;
  const bus::ConsumerOptions member_;
  Claims claims_;  // of what it was told that it has; one that it gave up is stale, not gone
};

class ProcessReader final : public bus::Reader {
 public:
  ProcessReader(ProcessBus& bus, std::unique_ptr<bus::Reader> inner) : bus_(bus), inner_(std::move(inner)) {}
  async::Task<Result<std::vector<bus::Record>>> poll(std::size_t records_max, Millis wait) override {
    if (bus_.fails(bus_.faults_.read_fails)) co_return away();
    Result<std::vector<bus::Record>> some = co_await inner_->poll(records_max, wait);
    co_return some;
  }
  void wake() override { inner_->wake(); }
  [[nodiscard]] bool caught_up() const override { return inner_->caught_up(); }
  [[nodiscard]] std::vector<bus::Position> positions() const override { return inner_->positions(); }

 private:
  ProcessBus& bus_;
  std::unique_ptr<bus::Reader> inner_;
};

async::Task<void> ProcessBus::be_late() {
  const Millis late = universe_.choice().millis(0, faults_.late_max.count());
  std::function<void(std::function<void(bool)>)> start = [this, late](std::function<void(bool)> done) {
    loop_.call_after(late, [done] { done(true); });
  };
  co_await async::from_callback<bool>(loop_, start);
}

void ProcessBus::stand_still() {
  const Millis still = universe_.choice().millis(1'000, 15'000);
  universe_.note(fmt::format("stands still before a commit: {} for {} ms", loop_.name(), still.count()));
  loop_.stand_still(still);
}

bool ProcessBus::fails(std::int64_t one_in_n) const {
  return universe_.now() < away_until || universe_.choice().one_in(one_in_n);
}

void ProcessBus::send(bus::Batch records, bus::AppendCallback done, bool tell) {
  if (on_append) on_append();
  // The bus's own threads answer; a process that is gone hears nothing.
  bus::AppendCallback answer = [alive = alive_, done = std::move(done), tell](auto result) {
    if (*alive) done(tell ? std::move(result) : Result<std::vector<bus::Position>>(away()));
  };
  inner_.append_batch(std::move(records), std::move(answer));
}

void ProcessBus::append_batch(bus::Batch records, bus::AppendCallback done) {
  Choice& choice = universe_.choice();
  const bool refused = fails(faults_.append_refused);
  const bool partial = choice.one_in(faults_.append_partial);
  const bool unsaid = choice.one_in(faults_.append_unsaid);
  // On its way: a later one does not overtake it.
  last_sent_ = std::max(last_sent_, universe_.now() + choice.millis(0, faults_.late_max.count()));
  auto held = std::make_shared<std::pair<bus::Batch, bus::AppendCallback>>(std::move(records), std::move(done));
  loop_.call_after(last_sent_ - universe_.now(), [this, held, refused, partial, unsaid] {
    auto& [all, answer] = *held;
    if (refused) return answer(away());
    if (partial) {
      const auto kept = universe_.choice().below(static_cast<std::int64_t>(all->size()));
      all = std::make_shared<const std::vector<bus::OutRecord>>(all->begin(), all->begin() + kept);
    }
    if (all->empty()) return answer(away());
    send(std::move(all), std::move(answer), !partial && !unsaid);
  });
}

Result<std::unique_ptr<bus::Consumer>> ProcessBus::subscribe(async::Scheduler& scheduler,
                                                             bus::ConsumerOptions options) {
  if (session_timeout > Millis(0)) options.session_timeout = session_timeout;
  auto inner = inner_.subscribe(scheduler, options);
  if (!inner) return inner.error();
  return std::unique_ptr<bus::Consumer>(
      std::make_unique<ProcessConsumer>(*this, std::move(*inner), std::move(options)));
}

Result<std::unique_ptr<bus::Reader>> ProcessBus::read(async::Scheduler& scheduler, std::string topic,
                                                      std::vector<bus::Position> start) {
  if (fails(faults_.read_fails)) return away();
  auto inner = inner_.read(scheduler, std::move(topic), std::move(start));
  if (!inner) return inner.error();
  return std::unique_ptr<bus::Reader>(std::make_unique<ProcessReader>(*this, std::move(*inner)));
}

async::Task<Result<std::vector<bus::PartitionRange>>> ProcessBus::ranges(async::Scheduler& scheduler,
                                                                         std::string topic) {
  if (fails(faults_.read_fails)) co_return away();
  auto ranges = co_await inner_.ranges(scheduler, std::move(topic));
  co_return ranges;
}

async::Task<Result<std::vector<bus::Position>>> ProcessBus::committed(async::Scheduler& scheduler, std::string group,
                                                                      std::string topic) {
  if (fails(faults_.read_fails)) co_return away();
  auto committed = co_await inner_.committed(scheduler, std::move(group), std::move(topic));
  co_return committed;
}

}  // namespace fleetward::simulation
