// Appends to a bus in batches, a few of them under way at once, and notes where the records went.
//
// For one thread. At most in_flight_max batches wait for the brokers; append() blocks beyond that.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <semaphore>
#include <vector>

#include "bus/bus.hpp"

namespace fleetward::bench {

// A partition's offsets from the first record of ours to behind the last.
struct Stretch {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
using Stretches = std::map<std::int32_t, Stretch>;

class Writer {
 public:
  explicit Writer(bus::Bus& bus) : bus_(bus), state_(std::make_shared<State>()) {}

  void append(std::vector<bus::OutRecord> records);
  // Waits until all of it is durable. The first error, if there was one.
  Result<Stretches> finish();

 private:
  static constexpr int in_flight_max = 8;
  struct State {
    std::counting_semaphore<in_flight_max> room{in_flight_max};
    std::mutex mutex;
    Stretches written;
    Status failure;
  };
  static void note(State& state, const Result<std::vector<bus::Position>>& done);

  bus::Bus& bus_;
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::bench
