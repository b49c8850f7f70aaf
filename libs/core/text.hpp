// Small text encodings that wire formats share. All pure, all bounded by their input.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace fleetward {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
inline Bytes to_bytes(std::string_view text) { return Bytes(text.begin(), text.end()); }

std::string to_hex(ByteView bytes);  // lower case
Result<Bytes> from_hex(std::string_view text);

std::string to_base64(ByteView bytes);             // RFC 4648 section 4, padded
Result<Bytes> from_base64(std::string_view text);  // white space is not accepted
std::string to_base64url(ByteView bytes);          // RFC 4648 section 5, not padded

// Percent-encoding of RFC 3986: everything but A-Z a-z 0-9 - . _ ~ (and '/' when kept) becomes %XX.
std::string percent_encode(std::string_view text, bool keep_slash = false);
Result<std::string> percent_decode(std::string_view text);

// Well-formed UTF-8 by Unicode table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text);

std::vector<std::string_view> split(std::string_view text, char separator);
std::string_view trim(std::string_view text);          // ASCII white space at both ends
std::string to_lower(std::string_view text);           // ASCII only
bool iequals(std::string_view a, std::string_view b);  // ASCII only

// Text from outside made safe to show on a terminal or in a log: control characters (C0, C1, DEL) and broken
// UTF-8 become \xNN, and at most `bytes_max` bytes are kept.
std::string printable(std::string_view text, std::size_t bytes_max = 256);

}  // namespace fleetward
