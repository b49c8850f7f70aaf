#include "net/proxy_protocol.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

namespace fleetward::net {
namespace {

constexpr std::array<std::uint8_t, 12> signature{'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
constexpr std::size_t fixed_bytes = 16;
constexpr std::uint8_t version_2_local = 0x20;
constexpr std::uint8_t version_2_proxy = 0x21;

Error refused(std::string_view why) { return Error(ErrorCode::invalid_argument, fmt::format("PROXY header: {}", why)); }

std::uint16_t u16(ByteView bytes) { return static_cast<std::uint16_t>(bytes[0] << 8 | bytes[1]); }

std::string address_text(int family, ByteView bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, bytes.data(), text.data(), text.size());
  return text.data();
}

// The additions are not read, but they must be some: each with a length that fits.
bool are_additions(ByteView rest) {
  while (!rest.empty()) {
    if (rest.size() < 3) return false;
    const std::size_t whole = std::size_t{3} + u16(rest.subspan(1));
    if (whole > rest.size()) return false;
    rest = rest.subspan(whole);
  }
  return true;
}

Result<std::optional<Endpoint>> read_source(std::uint8_t family, ByteView body) {
  const bool is_v4 = family == 0x11;
  if (family == 0x00) return std::optional<Endpoint>();
  if (!is_v4 && family != 0x21) return refused("neither TCP over IPv4 nor over IPv6");
  const std::size_t address_bytes = is_v4 ? 4 : 16;
  const std::size_t all = 2 * address_bytes + 4;
  if (body.size() < all) return refused("its addresses are cut short");
  if (!are_additions(body.subspan(all))) return refused("its additions do not fit");
  return std::optional<Endpoint>(Endpoint{address_text(is_v4 ? AF_INET : AF_INET6, body.first(address_bytes)),
                                          u16(body.subspan(2 * address_bytes))});
}

}  // namespace

Result<std::optional<ProxyHeader>> read_proxy_header(ByteView bytes) {
  const std::size_t known = std::min(bytes.size(), signature.size());
  if (!std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(known), signature.begin()))
    return refused("there is none of version 2");
  if (bytes.size() > 12 && bytes[12] != version_2_local && bytes[12] != version_2_proxy)
    return refused("unknown version or command");
  if (bytes.size() < fixed_bytes) return std::optional<ProxyHeader>();
  const std::size_t whole = fixed_bytes + u16(bytes.subspan(14));
  if (whole > proxy_header_bytes_max) return refused("it is too long");
  if (bytes.size() < whole) return std::optional<ProxyHeader>();
  if (bytes[12] == version_2_local) return std::optional<ProxyHeader>(ProxyHeader{std::nullopt, whole});
  auto source = read_source(bytes[13], bytes.subspan(fixed_bytes, whole - fixed_bytes));
  if (!source) return source.error();
  return std::optional<ProxyHeader>(ProxyHeader{std::move(*source), whole});
}

}  // namespace fleetward::net
