#include "crypto/random.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>

#include "crypto/digest.hpp"

namespace fleetward::crypto {

Bytes Random::bytes(std::size_t count) {
  Bytes out(count);
  fill(out);
  return out;
}

std::uint64_t Random::uint64() {
  std::array<std::uint8_t, 8> raw;
  fill(raw);
  std::uint64_t value = 0;
  for (const std::uint8_t byte : raw) value = value << 8 | byte;
  return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
  if (bound == 0) std::abort();
  // 2^64 mod bound values at the low end would be met once more often than the others: draw again.
  const std::uint64_t surplus = (0 - bound) % bound;
  for (;;) {
    const std::uint64_t value = uint64();
    if (value >= surplus) return value % bound;
  }
}

std::string Random::hex(std::size_t bytes_count) { return to_hex(bytes(bytes_count)); }

std::string Random::token(std::size_t bytes_count) { return to_base64url(bytes(bytes_count)); }

void SystemRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const std::size_t part = std::min<std::size_t>(out.size(), 1U << 20);
    if (RAND_bytes(out.data(), static_cast<int>(part)) != 1) std::abort();
    out = out.subspan(part);
  }
}

void SeededRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    std::array<std::uint8_t, 16> input;
    for (std::size_t i = 0; i < 8; ++i) {
      input[i] = static_cast<std::uint8_t>(seed_ >> (56 - 8 * i));
      input[8 + i] = static_cast<std::uint8_t>(counter_ >> (56 - 8 * i));
    }
    ++counter_;
    const Sha256Digest block = sha256(ByteView(input));
    const std::size_t part = std::min(out.size(), block.size());
    std::copy_n(block.begin(), part, out.begin());
    out = out.subspan(part);
  }
}

}  // namespace fleetward::crypto
