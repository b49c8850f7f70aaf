// What the threads of one store know together of the server: whether it is there, when to try next, whether to end.
// Thread-safe.
//
// Limits: while the server is gone one attempt to reach it is made every retry_max or less often.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "core/result.hpp"
#include "core/time.hpp"

namespace fleetward::store {

class PostgresHealth {
 public:
  explicit PostgresHealth(Millis patience) : patience_(patience) {}

  // Whether it is time for another attempt; else why there is none.
  Status may_connect();
  void connected();
  void unreachable(const Error& error);
  // How long a transaction that found the server gone goes on trying: none once it has been gone for long.
  [[nodiscard]] Millis patience_left() const;

  // After a transaction: a disk that is full or damaged stays in health() until one has written again.
  void note(const Status& status, bool has_written);
  [[nodiscard]] Status health() const;

  void stop();
  [[nodiscard]] bool is_stopping() const;
  void pause(Millis limit);  // or until stop()

 private:
  using Clock = std::chrono::steady_clock;

  const Millis patience_;
  mutable std::mutex mutex_;
  std::condition_variable stopped_;
  bool is_stopping_ = false;
  Status reach_;
  Status disk_;
  Clock::time_point gone_since_{};
  Clock::time_point next_attempt_{};
  Millis retry_{0};
};

}  // namespace fleetward::store
