#include "report/ip_address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "core/text.hpp"

namespace fleetward::report {
namespace {

constexpr std::uint64_t v4_mapped = 0xffff'0000'0000ULL;
constexpr std::size_t ip_text_max = 45;  // ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255

std::optional<IpAddress> parse_v4(std::string_view text) {
  std::uint32_t value = 0;
  std::size_t at = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (at >= text.size() || text[at] != '.') return std::nullopt;
      ++at;
    }
    std::uint32_t n = 0;
    const std::size_t start = at;
    while (at < text.size() && at - start < 3 && text[at] >= '0' && text[at] <= '9') {
      n = n * 10 + static_cast<std::uint32_t>(text[at++] - '0');
    }
    if (at == start || n > 255 || (at - start > 1 && text[start] == '0')) return std::nullopt;
    value = value << 8 | n;
  }
  if (at != text.size()) return std::nullopt;
  return IpAddress{0, v4_mapped | value};
}

std::uint64_t load_big_endian(const std::uint8_t* bytes) {
  std::uint64_t out = 0;
  for (int i = 0; i < 8; ++i) out = out << 8 | bytes[i];
  return out;
}

std::optional<IpAddress> parse_v6(std::string_view text) {
  if (text.size() > ip_text_max) return std::nullopt;
  std::array<char, ip_text_max + 1> buffer{};
  std::memcpy(buffer.data(), text.data(), text.size());
  // inet_pton stops at a NUL: text that holds one is none of its addresses.
  if (std::memchr(text.data(), 0, text.size()) != nullptr) return std::nullopt;
  std::array<std::uint8_t, 16> bytes{};
  if (inet_pton(AF_INET6, buffer.data(), bytes.data()) != 1) return std::nullopt;
  return IpAddress{load_big_endian(bytes.data()), load_big_endian(bytes.data() + 8)};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

}  // namespace

std::optional<IpAddress> parse_ip(std::string_view text) {
  if (text.empty()) return std::nullopt;
  if (text.find(':') == std::string_view::npos) return parse_v4(text);
  return parse_v6(text.substr(0, text.find('%')));
}

std::string to_text(const IpAddress& address) {
  if (address.is_v4()) {
    const auto v4 = static_cast<std::uint32_t>(address.low);
    return fmt::format("{}.{}.{}.{}", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255, v4 & 255);
  }
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<std::uint8_t>(address.high >> (56 - 8 * i));
    bytes[8 + i] = static_cast<std::uint8_t>(address.low >> (56 - 8 * i));
  }
  std::array<char, INET6_ADDRSTRLEN> text{};
  return inet_ntop(AF_INET6, bytes.data(), text.data(), text.size()) == nullptr ? "::" : text.data();
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[') {
    if (host.size() < 2 || host.back() != ']') return std::nullopt;
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return std::nullopt;
  }
  const auto address = parse_ip(host);
  const auto port = parse_port(text.substr(colon + 1));
  if (!address || !port) return std::nullopt;
  return Endpoint{*address, *port};
}

Result<CidrSet> CidrSet::parse(const std::vector<std::string>& cidrs) {
  CidrSet set;
  for (const std::string& text : cidrs) {
    const std::size_t slash = text.find('/');
    const auto address = parse_ip(std::string_view(text).substr(0, slash));
    unsigned bits = 128;
    bool good = address.has_value() && text.find('%') == std::string::npos;
    if (good && slash != std::string::npos) {
      const auto prefix = parse_port(std::string_view(text).substr(slash + 1));
      const unsigned width = text.find(':') == std::string::npos ? 32 : 128;
      good = prefix.has_value() && *prefix <= width;
      if (good) bits = 128 - width + *prefix;
    }
    if (!good) return Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a CIDR", printable(text, 64)));
    const std::uint64_t high_mask = bits >= 64 ? ~0ULL : bits == 0 ? 0 : ~0ULL << (64 - bits);
    const std::uint64_t low_mask = bits <= 64 ? 0 : ~0ULL << (128 - bits);
    auto& ranges = address->is_v4() && bits >= 96 ? set.v4_ : set.v6_;
    ranges.push_back(
        {{address->high & high_mask, address->low & low_mask}, {address->high | ~high_mask, address->low | ~low_mask}});
  }
  merge(set.v4_);
  merge(set.v6_);
  return set;
}

void CidrSet::merge(std::vector<Range>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> merged;
  for (const Range& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  ranges = std::move(merged);
}

bool CidrSet::contains(const IpAddress& address) const {
  const std::vector<Range>& ranges = address.is_v4() ? v4_ : v6_;
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                      [](const IpAddress& a, const Range& range) { return a < range.first; });
  return after != ranges.begin() && address <= std::prev(after)->last;
}

}  // namespace fleetward::report
