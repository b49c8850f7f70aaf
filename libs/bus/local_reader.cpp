#include "bus/local_reader.hpp"

#include <algorithm>

namespace fleetward::bus {
namespace {

class LocalReader final : public Reader {
 public:
  LocalReader(LocalCorePtr core, async::Scheduler& scheduler, std::string topic, Offsets start, Offsets end)
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

  LocalCorePtr core_;
  async::Scheduler& scheduler_;
  std::string topic_;
  Offsets next_;
  Offsets end_;  // when the reader was made
  std::size_t turn_ = 0;
  std::shared_ptr<async::Event> event_;
};

}  // namespace

std::unique_ptr<Reader> make_local_reader(LocalCorePtr core, async::Scheduler& scheduler, std::string topic,
                                          Offsets start, Offsets end) {
  return std::make_unique<LocalReader>(std::move(core), scheduler, std::move(topic), std::move(start), std::move(end));
}

}  // namespace fleetward::bus
