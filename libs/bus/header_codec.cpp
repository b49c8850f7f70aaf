#include "bus/header_codec.hpp"

namespace fleetward::bus {

std::string encode_headers(const Headers& headers) {
  std::string out;
  const auto put = [&out](std::string_view text) {
    const auto n = static_cast<std::uint32_t>(text.size());
    for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(n >> shift & 0xff);
    out += text;
  };
  for (const Header& h : headers) {
    put(h.name);
    put(h.value);
  }
  return out;
}

Result<Headers> decode_headers(std::string_view bytes) {
  Headers out;
  const auto take = [&bytes](std::string& into) {
    if (bytes.size() < 4) return false;
    std::uint32_t n = 0;
    for (std::size_t i = 0; i < 4; ++i) n |= std::uint32_t{static_cast<std::uint8_t>(bytes[i])} << (8 * i);
    bytes.remove_prefix(4);
    if (bytes.size() < n) return false;
    into = bytes.substr(0, n);
    bytes.remove_prefix(n);
    return true;
  };
  while (!bytes.empty()) {
    Header h;
    if (!take(h.name) || !take(h.value)) return Error(ErrorCode::corrupted, "a record's headers are damaged");
    out.push_back(std::move(h));
  }
  return out;
}

}  // namespace fleetward::bus
