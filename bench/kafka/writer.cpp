#include "bench/kafka/writer.hpp"

#include <algorithm>

namespace fleetward::bench {

void Writer::append(std::vector<bus::OutRecord> records) {
  state_->room.acquire();
  bus_.append(std::move(records), [state = state_](const Result<std::vector<bus::Position>>& done) {
    note(*state, done);
    state->room.release();
  });
}

void Writer::note(State& state, const Result<std::vector<bus::Position>>& done) {
  const std::lock_guard lock(state.mutex);
  if (!done) {
    if (state.failure) state.failure = done.error();
    return;
  }
  for (const bus::Position& p : *done) {
    const auto [at, is_first] = state.written.try_emplace(p.partition, Stretch{p.offset, p.offset + 1});
    if (is_first) continue;
    at->second.begin = std::min(at->second.begin, p.offset);
    at->second.end = std::max(at->second.end, p.offset + 1);
  }
}

Result<Stretches> Writer::finish() {
  for (int i = 0; i < in_flight_max; ++i) state_->room.acquire();
  state_->room.release(in_flight_max);
  const std::lock_guard lock(state_->mutex);
  if (!state_->failure) return state_->failure.error();
  return std::exchange(state_->written, {});
}

}  // namespace fleetward::bench
