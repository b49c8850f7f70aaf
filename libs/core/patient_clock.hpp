// The wall clock for what must not happen too early and cannot be undone: the end of a hold's lease, retention.
//
// A wall clock can be set forward by mistake, and back again. This one is never ahead of the wall clock, and beside
// that goes by real time, which it bends towards the wall clock by a tenth: a clock that is hours ahead for a while
// makes nothing end hours early, and one that was really wrong is followed in the end. Pure; what it begins with is
// believed.
#pragma once

#include <algorithm>

#include "core/time.hpp"

namespace fleetward {

class PatientClock {
 public:
  // `steady`: of a monotonic clock.
  PatientClock(Instant wall, std::chrono::nanoseconds steady) : time_(wall), steady_(steady) {}

  Instant at(Instant wall, std::chrono::nanoseconds steady) {
    const auto passed = std::max(std::chrono::duration_cast<Millis>(steady - steady_), Millis(0));
    time_ = std::clamp(wall, time_ + passed - passed / 10, time_ + passed + passed / 10);
    steady_ = steady;
    return std::min(wall, time_);
  }

  // How far the wall clock seems to be behind, at the last look: what is to last from now on lasts that much longer by
  // it.
  [[nodiscard]] Millis behind(Instant wall) const { return std::max(time_ - wall, Millis(0)); }

 private:
  Instant time_;
  std::chrono::nanoseconds steady_;
};

}  // namespace fleetward
