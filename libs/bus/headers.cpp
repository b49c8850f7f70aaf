#include "bus/headers.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace fleetward::bus {
namespace {

constexpr std::size_t length_bytes = 4;

void put(std::string& out, std::string_view text) {
  const auto n = static_cast<std::uint32_t>(text.size());
  const std::array<char, length_bytes> length = {static_cast<char>(n), static_cast<char>(n >> 8),
                                                 static_cast<char>(n >> 16), static_cast<char>(n >> 24)};
  out.append(length.data(), length.size());
  out.append(text);
}

// The next text of `rest`, which goes behind it; none when there is not that much.
std::optional<std::string_view> take(std::string_view& rest) {
  if (rest.size() < length_bytes) return std::nullopt;
  std::uint32_t n = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) n |= std::uint32_t{static_cast<std::uint8_t>(rest[i])} << (8 * i);
  rest.remove_prefix(length_bytes);
  if (rest.size() < n) return std::nullopt;
  const std::string_view text = rest.substr(0, n);
  rest.remove_prefix(n);
  return text;
}

}  // namespace

Header Headers::const_iterator::operator*() const {
  std::string_view rest = rest_;
  const std::string_view name = *take(rest);
  return {name, *take(rest)};
}

Headers::const_iterator& Headers::const_iterator::operator++() {
  take(rest_);
  take(rest_);
  return *this;
}

Headers::Headers(std::initializer_list<Header> headers) {
  for (const Header& h : headers) push_back(h);
}

void Headers::push_back(const Header& header) {
  put(bytes_, header.name);
  put(bytes_, header.value);
}

Result<Headers> Headers::decode(std::string bytes) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    if (!take(rest) || !take(rest)) return Error(ErrorCode::corrupted, "a record's headers are damaged");
  }
  Headers out;
  out.bytes_ = std::move(bytes);
  return out;
}

std::optional<std::string_view> find_header(const Headers& headers, std::string_view name) {
  for (const Header header : headers) {
    if (header.name == name) return header.value;
  }
  return std::nullopt;
}

}  // namespace fleetward::bus
