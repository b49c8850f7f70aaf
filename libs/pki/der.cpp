#include "pki/der.hpp"

#include <array>

namespace fleetward::pki::der {
namespace {

void put_digits(Bytes& out, unsigned number, int count) {
  for (unsigned unit = count == 4 ? 1000 : 10; unit > 0; unit /= 10)
    out.push_back(static_cast<std::uint8_t>('0' + number / unit % 10));
}

void put_clock(Bytes& out, Instant t, bool is_short) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(t - day));
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  put_header(out, is_short ? utc_time : generalized_time, is_short ? 13 : 15);
  put_digits(out, is_short ? year % 100 : year, is_short ? 2 : 4);
  put_digits(out, static_cast<unsigned>(date.month()), 2);
  put_digits(out, static_cast<unsigned>(date.day()), 2);
  put_digits(out, static_cast<unsigned>(clock.hours().count()), 2);
  put_digits(out, static_cast<unsigned>(clock.minutes().count()), 2);
  put_digits(out, static_cast<unsigned>(clock.seconds().count()), 2);
  out.push_back('Z');
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

void put(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

void put_header(Bytes& out, std::uint8_t tag, std::size_t length) {
  out.push_back(tag);
  if (length < 128) {
    out.push_back(static_cast<std::uint8_t>(length));
    return;
  }
  int octets = 1;
  while (octets < 8 && length >> (8 * octets) != 0) ++octets;
  out.push_back(static_cast<std::uint8_t>(0x80 | octets));
  for (int i = octets - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(length >> (8 * i)));
}

void wrap_from(Bytes& out, std::size_t start, std::uint8_t tag) {
  Bytes header;
  header.reserve(header_bytes_max);
  put_header(header, tag, out.size() - start);
  out.insert(out.begin() + static_cast<std::ptrdiff_t>(start), header.begin(), header.end());
}

Bytes wrap(std::uint8_t tag, ByteView content) {
  Bytes out;
  out.reserve(content.size() + header_bytes_max);
  put_header(out, tag, content.size());
  put(out, content);
  return out;
}

void put_number(Bytes& out, std::int64_t number) {
  int octets = 1;
  while (octets < 8 && number >> (8 * octets - 1) != 0) ++octets;  // one bit more than the number has: its sign
  put_header(out, integer_tag, static_cast<std::size_t>(octets));
  for (int i = octets - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(number >> (8 * i)));
}

bool put_serial(Bytes& out, std::string_view hex) {
  while (hex.size() > 1 && hex.front() == '0') hex.remove_prefix(1);
  if (hex.empty() || hex.size() > 2 * serial_bytes_max) return false;
  const bool needs_zero = hex.size() % 2 == 0 && hex_digit(hex.front()) >= 8;  // or it would be negative
  put_header(out, integer_tag, (hex.size() + 1) / 2 + (needs_zero ? 1 : 0));
  if (needs_zero) out.push_back(0);
  int high = hex.size() % 2 == 0 ? -1 : 0;
  for (const char c : hex) {
    const int digit = hex_digit(c);
    if (digit < 0) return false;
    if (high >= 0) out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return true;
}

void put_time(Bytes& out, Instant t) {
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(t));
  put_clock(out, t, date.year() >= std::chrono::year(1950) && date.year() < std::chrono::year(2050));
}

void put_generalized_time(Bytes& out, Instant t) { put_clock(out, t, false); }

void put_extension(Bytes& out, ByteView oid, ByteView value) {
  const std::size_t start = out.size();
  put_header(out, oid_tag, oid.size());
  put(out, oid);
  put_header(out, octet_string, value.size());
  put(out, value);
  wrap_from(out, start, sequence);
}

ByteView ecdsa_with_sha256() {
  static constexpr std::array<std::uint8_t, 12> algorithm{0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86,
                                                          0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
  return algorithm;
}

void put_bits(Bytes& out, ByteView octets) {
  put_header(out, bit_string, octets.size() + 1);
  out.push_back(0);
  put(out, octets);
}

}  // namespace fleetward::pki::der
