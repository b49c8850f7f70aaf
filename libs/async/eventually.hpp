// For tests: waits for what other threads bring about, with an end. Owns nothing.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace fleetward::async::testing_support {

// Whether it holds within that time. Asked on the caller's thread, every few milliseconds.
inline bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace fleetward::async::testing_support
