#include "crypto/random.hpp"

#include <openssl/rand.h>

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
  for (const std::uint8_t b : raw) value = value << 8 | b;
  return value;
}

std::uint64_t Random::below(std::uint64_t bound) {
  const std::uint64_t limit =
      std::numeric_limits<std::uint64_t>::max() - std::numeric_limits<std::uint64_t>::max() % bound;
  while (true) {
    const std::uint64_t value = uint64();
    if (value < limit) return value % bound;
  }
}

std::string Random::hex(std::size_t bytes_count) { return to_hex(bytes(bytes_count)); }
std::string Random::token(std::size_t bytes_count) { return to_base64url(bytes(bytes_count)); }

void SystemRandom::fill(std::span<std::uint8_t> out) {
  if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) std::abort();
}

void SeededRandom::fill(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    const Sha256Digest block = sha256(fmt::format("{}:{}", seed_, counter_++));
    const std::size_t n = std::min(out.size(), block.size());
    std::copy_n(block.begin(), n, out.begin());
    out = out.subspan(n);
  }
}

}  // namespace fleetward::crypto
