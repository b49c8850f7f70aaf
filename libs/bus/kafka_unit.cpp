#include "bus/kafka_unit.hpp"

#include "core/fault.hpp"

namespace fleetward::bus::kafka {
namespace {

class KafkaUnitOfWork final : public UnitOfWork {
 public:
  KafkaUnitOfWork(KafkaCorePtr core, async::Scheduler& scheduler, std::shared_ptr<Ownership> ownership)
      : core_(std::move(core)),
        scheduler_(scheduler),
        ownership_(std::move(ownership)),
        epochs_(ownership_->epochs),
        member_(ownership_->member) {}
  ~KafkaUnitOfWork() override { let_go(); }

  void append(OutRecord record) override { records_.push_back(std::move(record)); }
  void set_offset(std::int32_t partition, std::int64_t next_offset) override {
    offsets_.push_back({partition, next_offset});
  }

  async::Task<Result<std::vector<Position>>> commit() override {
    if (offsets_.empty()) co_return Error(ErrorCode::invalid_argument, "a unit of work needs an offset");
    std::vector<std::int32_t> places;
    std::size_t bytes = 0;
    const Status good = core_->place(records_, places, bytes);
    if (!good) co_return good.error();
    Result<std::vector<Position>> done = Error(ErrorCode::fenced, "a newer owner has the partition");
    if (is_owner()) {
      auto records = std::make_shared<const std::vector<OutRecord>>(std::move(records_));
      std::function<Result<std::vector<Position>>()> work = [member = member_, offsets = offsets_, records, places] {
        return member->commit(offsets, *records, places);
      };
      done = co_await on_thread<std::vector<Position>>(member_->worker(), scheduler_, work);
    }
    count(done);
    co_return done;
  }

 private:
  // Each of its partitions is still had by the assignment under which the work began.
  [[nodiscard]] bool is_owner() const {
    if (!member_ || member_ != ownership_->member) return false;
    for (const Position& p : offsets_) {
      const auto then = epochs_.find(p.partition);
      const auto now = ownership_->epochs.find(p.partition);
      if (then == epochs_.end() || now == ownership_->epochs.end() || then->second != now->second) return false;
    }
    return true;
  }

  void count(const Result<std::vector<Position>>& done) {
    if (done) {
      core_->commits.add();
      core_->records.add(done->size());
    } else if (done.error().code == ErrorCode::fenced) {
      core_->fenced.add();
    } else {
      core_->failed.add();
    }
  }

  // It may hold the last reference: the member must not end on its own worker, nor keep this scheduler waiting.
  void let_go() {
    if (member_) core_->closer.post([member = std::move(member_)]() mutable { member.reset(); });
  }

  KafkaCorePtr core_;
  async::Scheduler& scheduler_;
  std::shared_ptr<Ownership> ownership_;
  std::map<std::int32_t, std::uint64_t> epochs_;
  std::shared_ptr<GroupMember> member_;
  std::vector<OutRecord> records_;
  std::vector<Position> offsets_;
};

}  // namespace

std::unique_ptr<UnitOfWork> make_unit_of_work(KafkaCorePtr core, async::Scheduler& scheduler,
                                              const std::shared_ptr<Ownership>& ownership) {
  return std::make_unique<KafkaUnitOfWork>(std::move(core), scheduler, ownership);
}

}  // namespace fleetward::bus::kafka
