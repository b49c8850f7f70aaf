// Durations and sizes as people write them.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "config/config.hpp"
#include "core/text.hpp"

namespace fleetward::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first, as duration_text() and size_text() look for the first that divides.
constexpr std::array<Unit, 5> duration_units{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 4> size_units{{{"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"", 1}}};

template <std::size_t N>
Result<std::uint64_t> parse_with_unit(std::string_view text, const std::array<Unit, N>& units,
                                      std::string_view examples) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::uint64_t amount = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + digits, amount);
  const std::string_view unit_name = text.substr(digits);
  for (const Unit& unit : units) {
    if (digits == 0 || code != std::errc() || unit.name != unit_name) continue;
    if (amount > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / unit.factor) break;
    return amount * unit.factor;
  }
  return {ErrorCode::invalid_argument, fmt::format("'{}' is not written like {}", printable(text, 64), examples)};
}

template <std::size_t N>
std::string with_unit(std::uint64_t amount, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (amount != 0 && amount % unit.factor == 0) return fmt::format("{}{}", amount / unit.factor, unit.name);
  }
  return fmt::format("0{}", units.back().name);
}

}  // namespace

Result<Millis> parse_duration(std::string_view text) {
  const Result<std::uint64_t> ms = parse_with_unit(text, duration_units, "250ms, 30s, 5m, 12h or 7d");
  if (!ms) return ms.error();
  return Millis(static_cast<std::int64_t>(*ms));
}

Result<std::size_t> parse_size(std::string_view text) {
  const Result<std::uint64_t> bytes = parse_with_unit(text, size_units, "512, 64KiB, 8MiB or 1GiB");
  if (!bytes) return bytes.error();
  return static_cast<std::size_t>(*bytes);
}

std::string duration_text(Millis duration) {
  return with_unit(static_cast<std::uint64_t>(duration.count()), duration_units);
}

std::string size_text(std::size_t bytes) { return with_unit(bytes, size_units); }

}  // namespace fleetward::config
