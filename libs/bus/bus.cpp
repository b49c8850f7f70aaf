#include "bus/bus.hpp"

namespace fleetward::bus {

async::Task<Status> Consumer::commit(std::vector<Position> next_offsets) {
  const std::unique_ptr<UnitOfWork> work = begin();
  for (const Position& p : next_offsets) work->set_offset(p.partition, p.offset);
  const Result<std::vector<Position>> done = co_await work->commit();
  if (!done) co_return done.error();
  co_return Status();
}

async::Task<Result<std::vector<Position>>> append(Bus& bus, async::Scheduler& scheduler,
                                                  std::vector<OutRecord> records) {
  std::function<void(AppendCallback)> start = [&bus, &records](AppendCallback done) {
    bus.append(std::move(records), std::move(done));
  };
  Result<std::vector<Position>> result = co_await async::from_callback<Result<std::vector<Position>>>(scheduler, start);
  co_return result;
}

Result<std::unique_ptr<Reader>> read_all(Bus& bus, async::Scheduler& scheduler, std::string topic) {
  std::vector<Position> start;
  for (std::int32_t p = 0; p < bus.partition_count(topic); ++p) start.push_back({p, 0});
  return bus.read(scheduler, std::move(topic), std::move(start));
}

}  // namespace fleetward::bus
