// A rate with a burst, as one number: the time at which the bucket is full again (GCRA). Pure, one thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace fleetward::mqtt {

using SteadyTime = std::chrono::nanoseconds;

// `per_second` in the long run, `burst` at once; per_second 0 is no limit.
struct Rate {
  std::int64_t per_second = 0;
  std::int64_t burst = 0;
  [[nodiscard]] bool is_limited() const { return per_second > 0; }
};

class TokenBucket {
 public:
  // Takes `n` tokens, or none and false. One that costs more than the burst is let through when the bucket is full:
  // a limit slows such things down, it does not forbid them.
  bool take(const Rate& rate, std::int64_t n, SteadyTime now) {
    if (!rate.is_limited()) return true;
    if (!has(rate, n, now)) return false;
    full_at_ = std::max(full_at_, now) + cost(rate, n);
    return true;
  }
  [[nodiscard]] bool has(const Rate& rate, std::int64_t n, SteadyTime now) const {
    if (!rate.is_limited() || is_full(now)) return true;
    return full_at_ - now + cost(rate, n) <= cost(rate, rate.burst);
  }
  // Takes what has been spent already, whether it is there or not; overdrawn until that is made up for.
  void charge(const Rate& rate, std::int64_t n, SteadyTime now) {
    if (rate.is_limited()) full_at_ = std::max(full_at_, now) + cost(rate, n);
  }
  [[nodiscard]] bool is_overdrawn(const Rate& rate, SteadyTime now) const { return !has(rate, 0, now); }
  // Nothing to remember: as good as a new one.
  [[nodiscard]] bool is_full(SteadyTime now) const { return full_at_ <= now; }
  // When `n` can be taken.
  [[nodiscard]] SteadyTime ready_at(const Rate& rate, std::int64_t n, SteadyTime now) const {
    return has(rate, n, now) ? now : full_at_ + cost(rate, n) - cost(rate, rate.burst);
  }

 private:
  static SteadyTime cost(const Rate& rate, std::int64_t n) {
    constexpr std::int64_t second = 1'000'000'000;
    return SteadyTime(n / rate.per_second * second + n % rate.per_second * second / rate.per_second);
  }
  SteadyTime full_at_{0};
};

}  // namespace fleetward::mqtt
