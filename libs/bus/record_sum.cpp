#include "bus/record_sum.hpp"

#include <bit>
#include <cstring>

namespace fleetward::bus {
namespace {

static_assert(std::endian::native == std::endian::little, "words of a sum are little endian");

// Odd numbers without a pattern: the first bits of the square roots of small primes.
constexpr std::uint64_t first = 0x6a09e667f3bcc909;
constexpr std::uint64_t second = 0xbb67ae8584caa73b;

__extension__ using Wide = unsigned __int128;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const Wide product = Wide{a} * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word(const char* at, std::size_t bytes) {
  std::uint64_t out = 0;
  std::memcpy(&out, at, bytes);
  return out;
}

// The length first, so that bytes cannot move from one field to the next unseen.
std::uint64_t add(std::uint64_t sum, std::string_view bytes) {
  sum = mix(sum ^ bytes.size(), second);
  std::size_t at = 0;
  for (; at + 16 <= bytes.size(); at += 16)
    sum = mix(word(bytes.data() + at, 8) ^ first, word(bytes.data() + at + 8, 8) ^ sum);
  const std::size_t left = bytes.size() - at;
  const std::uint64_t low = word(bytes.data() + at, left < 8 ? left : 8);
  const std::uint64_t high = left > 8 ? word(bytes.data() + at + 8, left - 8) : 0;
  return mix(low ^ first, high ^ sum);
}

}  // namespace

std::uint64_t partition_seed(std::string_view topic, std::int32_t partition) {
  return mix(add(first, topic) ^ static_cast<std::uint64_t>(partition), second);
}

std::int64_t record_sum(std::uint64_t seed, std::int64_t offset, std::int64_t append_ms, std::string_view key,
                        std::optional<std::string_view> value, std::string_view headers) {
  std::uint64_t sum = mix(seed ^ static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(append_ms) ^ second);
  sum = add(sum, key);
  sum = value ? add(sum, *value) : mix(sum, second);
  return std::bit_cast<std::int64_t>(add(sum, headers));
}

}  // namespace fleetward::bus
