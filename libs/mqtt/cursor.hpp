// Reads the fields of a packet in order and remembers the first failure; after it every read gives zero values.
// Private to the decoders. Sections 1.5.1 to 1.5.7.
#pragma once

#include <fmt/format.h>

#include "mqtt/packet.hpp"

namespace fleetward::mqtt {

class Cursor {
 public:
  Cursor(ByteView bytes, Failure& failure) : rest_(bytes), failure_(failure) {}

  [[nodiscard]] bool failed() const { return failure_.reason_code != reason::success; }
  [[nodiscard]] std::size_t left() const { return rest_.size(); }
  [[nodiscard]] ByteView rest() const { return rest_; }
  [[nodiscard]] bool has_more() const { return !failed() && !rest_.empty(); }

  void fail(std::uint8_t code, std::string text) {
    if (!failed()) failure_ = {code, std::move(text)};
    rest_ = {};
  }
  void malformed(std::string text) { fail(reason::malformed_packet, std::move(text)); }

  std::uint8_t u8(std::string_view what) {
    const ByteView b = take(1, what);
    return b.empty() ? std::uint8_t{0} : b[0];
  }
  std::uint16_t u16(std::string_view what) {
    const ByteView b = take(2, what);
    return b.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(b[0] << 8 | b[1]);
  }
  std::uint32_t u32(std::string_view what) {
    const ByteView b = take(4, what);
    if (b.empty()) return 0;
    return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
  }
  // Section 1.5.5: at most four bytes, and no more than the value needs.
  std::uint32_t variable(std::string_view what) {
    std::uint32_t value = 0;
    for (int shift = 0; shift < 28; shift += 7) {
      const std::uint8_t b = u8(what);
      value |= std::uint32_t{b & 0x7FU} << shift;
      if ((b & 0x80) == 0) {
        if (shift > 0 && b == 0) malformed(fmt::format("{} is encoded too long", what));
        return value;
      }
    }
    malformed(fmt::format("{} has more than four bytes", what));
    return 0;
  }
  ByteView binary(std::string_view what) { return take(u16(what), what); }
  // Section 1.5.4: well-formed, without surrogates and without U+0000. A byte order mark is text like any other.
  std::string_view text(std::string_view what) {
    const std::string_view t = as_text(binary(what));
    if (!is_utf8(t) || t.find('\0') != std::string_view::npos)
      malformed(fmt::format("{} is not well-formed UTF-8", what));
    return failed() ? std::string_view() : t;
  }
  // Section 2.2.1: never zero.
  std::uint16_t packet_id() {
    const std::uint16_t id = u16("packet identifier");
    if (!failed() && id == 0) fail(reason::protocol_error, "packet identifier is zero");
    return id;
  }
  ByteView take(std::size_t n, std::string_view what) {
    if (n > rest_.size()) {
      malformed(fmt::format("{} is cut short", what));
      return {};
    }
    const ByteView taken = rest_.first(n);
    rest_ = rest_.subspan(n);
    return taken;
  }
  void end() {
    if (!failed() && !rest_.empty()) malformed("bytes after the end of the packet");
  }
  // The packet, unless a read failed or something is left.
  template <class T>
  std::optional<T> finish(T packet) {
    end();
    return failed() ? std::nullopt : std::optional<T>(std::move(packet));
  }
  Failure& failure() { return failure_; }

 private:
  ByteView rest_;
  Failure& failure_;
};

// Section 2.1.3: the low half of the first byte.
inline bool expect_flags(const Frame& frame, std::uint8_t flags, Failure& failure) {
  if (frame.flags == flags) return true;
  failure = {reason::malformed_packet, "reserved header flags are wrong"};
  return false;
}

}  // namespace fleetward::mqtt
