// Writing DER (X.690) straight into bytes: what revocation lists and OCSP answers are made of. Private to pki. Pure.
#pragma once

#include <initializer_list>

#include "core/text.hpp"
#include "core/time.hpp"

namespace fleetward::pki::der {

enum Tag : std::uint8_t {
  integer_tag = 0x02,
  bit_string = 0x03,
  octet_string = 0x04,
  null_tag = 0x05,
  oid_tag = 0x06,
  enumerated = 0x0A,
  utc_time = 0x17,
  generalized_time = 0x18,
  sequence = 0x30,
};
// Of a choice or an optional field: [n], with content that has tags of its own, and without.
constexpr std::uint8_t constructed(std::uint8_t n) { return static_cast<std::uint8_t>(0xA0 | n); }
constexpr std::uint8_t primitive(std::uint8_t n) { return static_cast<std::uint8_t>(0x80 | n); }

inline constexpr std::size_t serial_bytes_max = 20;  // RFC 5280 section 4.1.2.2
inline constexpr std::size_t header_bytes_max = 10;  // tag and length

void put(Bytes& out, ByteView bytes);
// Tag and definite length (section 8.1.3).
void put_header(Bytes& out, std::uint8_t tag, std::size_t length);
// Makes what was written from `start` on the content of `tag`: the header is put before it.
void wrap_from(Bytes& out, std::size_t start, std::uint8_t tag);
Bytes wrap(std::uint8_t tag, ByteView content);
// INTEGER of a non-negative number.
void put_number(Bytes& out, std::int64_t number);
// INTEGER of a serial number in hex. False when it is none, or longer than serial_bytes_max.
bool put_serial(Bytes& out, std::string_view hex);
// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 section 5.1.2.4); to the second.
void put_time(Bytes& out, Instant t);
void put_generalized_time(Bytes& out, Instant t);
// Extension, not critical (RFC 5280 section 4.1): the identifier's content octets, and the value's DER.
void put_extension(Bytes& out, ByteView oid, ByteView value);
// AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 section 3.2).
ByteView ecdsa_with_sha256();
// BIT STRING of whole octets.
void put_bits(Bytes& out, ByteView octets);

}  // namespace fleetward::pki::der
