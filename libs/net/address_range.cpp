#include "net/address_range.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

#include "core/text.hpp"

namespace fleetward::net {
namespace {

using Bits = std::array<std::uint8_t, 16>;
constexpr unsigned mapped_prefix = 96;

struct Address {
  Bits bytes{};
  bool is_v4 = false;
};

std::optional<Address> address_of(std::string_view text) {
  const std::string zoneless(text.substr(0, text.find('%')));
  Address a;
  if (inet_pton(AF_INET6, zoneless.c_str(), a.bytes.data()) == 1) return a;
  a.is_v4 = true;
  a.bytes = {};
  a.bytes[10] = a.bytes[11] = 0xFF;
  if (inet_pton(AF_INET, zoneless.c_str(), a.bytes.data() + 12) == 1) return a;
  return std::nullopt;
}

// Whether both agree in their first `prefix` bits.
bool agree(const Bits& a, const Bits& b, unsigned prefix) {
  const std::size_t whole = prefix / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) return false;
  if (prefix % 8 == 0) return true;
  const int shift = static_cast<int>(8 - prefix % 8);
  return a[whole] >> shift == b[whole] >> shift;
}

Bits masked(Bits bytes, unsigned prefix) {
  for (unsigned bit = prefix; bit < 128; ++bit) bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  return bytes;
}

}  // namespace

Result<AddressRange> AddressRange::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = address_of(text.substr(0, slash));
  const auto bad = [text](std::string_view why) {
    return Error(ErrorCode::invalid_argument, fmt::format("'{}' is no network: {}", printable(text, 64), why));
  };
  if (!address) return bad("write it as 10.0.0.0/8 or 2001:db8::/32");
  const unsigned most = address->is_v4 ? 32 : 128;
  unsigned prefix = most;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
    if (error != std::errc() || end != digits.data() + digits.size() || prefix > most)
      return bad(fmt::format("its prefix is not 0 to {}", most));
  }
  AddressRange range;
  range.prefix_ = address->is_v4 ? prefix + mapped_prefix : prefix;
  range.bytes_ = masked(address->bytes, range.prefix_);
  if (range.bytes_ != address->bytes) return bad("there are bits behind the prefix");
  return range;
}

bool AddressRange::contains(std::string_view address) const {
  const auto a = address_of(address);
  return a && agree(a->bytes, bytes_, prefix_);
}

bool contains(const std::vector<AddressRange>& ranges, std::string_view address) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const AddressRange& n) { return n.contains(address); });
}

}  // namespace fleetward::net
