// The detector role: owns partitions of topic devices, keeps their engines, publishes violations, saves checkpoints.
//
// For each partition: state from the sibling of detector-state, then "begin", then records as they come. A violation
// goes out at once; a checkpoint (changed devices, the partition's own record, the offset) is one fenced unit, and
// waits until every violation of the records it covers is durable. Who is fenced drops the partition's state.
//
// Lives on its scheduler; start() and stop() are called from another thread, ready() from any. Limits:
// DetectorSettings.
#pragma once

#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "crypto/random.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::detector {

struct DetectorSettings {
  std::string group = "detector";
  std::string member = "detector-1";
  Millis checkpoint_every{3'000};
  Millis checkpoint_every_max{60'000};  // where many devices change, see checkpoint_pause(): so much is read again
  std::size_t records_per_poll = 2'000;
  std::size_t state_bytes_max = std::size_t{4} << 30;  // what does not fit stays paused, and we are not ready
  Millis session_timeout{10'000};
};

class Detector {
 public:
  // All of them outlive the detector.
  Detector(DetectorSettings settings, bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics,
           crypto::Random& random);
  ~Detector();
  Detector(const Detector&) = delete;
  Detector& operator=(const Detector&) = delete;

  Status start();
  // A last checkpoint, then the partitions are given back.
  void stop(Millis limit);
  // Good when every owned partition is restored and none waits for rules or for room, else which one does and why.
  [[nodiscard]] Status ready() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace fleetward::detector
