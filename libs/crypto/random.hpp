// The port through which randomness comes in: the operating system's, or a seeded one for tests and simulation.
//
// Whoever needs random bytes is handed a Random; nothing pure makes its own.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/text.hpp"

namespace fleetward::crypto {

class Random {
 public:
  virtual ~Random() = default;
  // Fills the whole span. Never fails: a machine without randomness cannot go on, so the process ends.
  virtual void fill(std::span<std::uint8_t> out) = 0;

  Bytes bytes(std::size_t count);
  std::uint64_t uint64();
  // Uniform in [0, bound), without the bias of a plain remainder. `bound` is at least 1.
  std::uint64_t below(std::uint64_t bound);
  std::string hex(std::size_t bytes_count);         // twice as many lower-case hex digits
  std::string token(std::size_t bytes_count = 32);  // base64url, for secrets that people and files carry
};

// OpenSSL's generator, seeded by the operating system. Thread-safe.
class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

// The same bytes for the same seed, on any machine: SHA-256 of seed and counter. For tests and simulation only; one
// object belongs to one thread.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : seed_(seed) {}
  void fill(std::span<std::uint8_t> out) override;

 private:
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
};

}  // namespace fleetward::crypto
