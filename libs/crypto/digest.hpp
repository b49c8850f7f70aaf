// Digests, message authentication and stable ids.
//
// Pure and thread-safe: every function is one of its arguments alone. No limits of its own: time and memory follow the
// input that the caller has already bounded.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "core/text.hpp"

struct evp_md_ctx_st;

namespace fleetward::crypto {

using Sha256Digest = std::array<std::uint8_t, 32>;
using Sha1Digest = std::array<std::uint8_t, 20>;

Sha256Digest sha256(ByteView data);
inline Sha256Digest sha256(std::string_view text) { return sha256(as_bytes(text)); }
std::string sha256_hex(ByteView data);  // 64 lower-case hex digits
inline std::string sha256_hex(std::string_view text) { return sha256_hex(as_bytes(text)); }

// Only where a format names it (OCSP certificate ids of RFC 6960, key identifiers of RFC 5280 section 4.2.1.2). It
// protects nothing.
Sha1Digest sha1(ByteView data);

// HMAC of RFC 2104 with SHA-256.
Sha256Digest hmac_sha256(ByteView key, ByteView data);
inline Sha256Digest hmac_sha256(ByteView key, std::string_view text) { return hmac_sha256(key, as_bytes(text)); }

// SHA-256 of data that comes in pieces. One object belongs to one thread; after finish() it starts anew.
class Sha256 {
 public:
  Sha256();
  void update(ByteView data);
  void update(std::string_view text) { update(as_bytes(text)); }
  Sha256Digest finish();

 private:
  std::shared_ptr<evp_md_ctx_st> context_;
};

// Compares in a time that depends on the lengths only. For secrets and message authentication codes.
bool equal_constant_time(ByteView a, ByteView b);
inline bool equal_constant_time(std::string_view a, std::string_view b) {
  return equal_constant_time(as_bytes(a), as_bytes(b));
}

// A stable 128-bit id of the parts, 32 lower-case hex digits: the first 16 bytes of SHA-256 over each part with its
// length before it (8 bytes, big endian). So ("ab", "c") and ("a", "bc") differ, and the same cause has the same id in
// each process and version.
std::string id_from(std::initializer_list<std::string_view> parts);

template <class... Parts>
std::string id_from(const Parts&... parts) {
  return id_from({std::string_view(parts)...});
}

}  // namespace fleetward::crypto
