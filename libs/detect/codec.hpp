// Bytes of checkpoints and sketches: little-endian fixed numbers, varints (seven bits a byte, least first) and counted
// texts, read back with every bound checked.
//
// Pure. A Reader that ran past the end, or met an impossible length, stays failed and gives zeros.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace fleetward::detect {

class Writer {
 public:
  void u8(std::uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void u16(std::uint16_t v) { put(v, 2); }
  void u32(std::uint32_t v) { put(v, 4); }
  void u64(std::uint64_t v) { put(v, 8); }
  void i64(std::int64_t v) { put(static_cast<std::uint64_t>(v), 8); }
  void varint(std::uint64_t v) {
    for (; v >= 0x80; v >>= 7) u8(static_cast<std::uint8_t>(v | 0x80));
    u8(static_cast<std::uint8_t>(v));
  }
  void text(std::string_view v) {
    u16(static_cast<std::uint16_t>(v.size()));
    out_.append(v);
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void put(std::uint64_t v, int bytes) {
    for (int i = 0; i < bytes; ++i) out_.push_back(static_cast<char>(v >> (8 * i)));
  }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  std::uint8_t u8() { return static_cast<std::uint8_t>(get(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(get(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(get(4)); }
  std::uint64_t u64() { return get(8); }
  std::int64_t i64() { return static_cast<std::int64_t>(get(8)); }
  // Only in its shortest form.
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint64_t byte = get(1);
      v |= (byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      failed_ = failed_ || (byte == 0 && shift > 0) || (shift == 63 && byte > 1);
      return failed_ ? 0 : v;
    }
    failed_ = true;
    return 0;
  }
  std::string text() {
    const std::size_t size = u16();
    if (size > in_.size()) {
      failed_ = true;
      return {};
    }
    std::string out(in_.substr(0, size));
    in_.remove_prefix(size);
    return out;
  }
  // Good when all was read and nothing is left.
  [[nodiscard]] bool finished() const { return !failed_ && in_.empty(); }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  std::uint64_t get(std::size_t bytes) {
    if (failed_ || in_.size() < bytes) {
      failed_ = true;
      return 0;
    }
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < bytes; ++i) v |= std::uint64_t{static_cast<unsigned char>(in_[i])} << (8 * i);
    in_.remove_prefix(bytes);
    return v;
  }
  std::string_view in_;
  bool failed_ = false;
};

}  // namespace fleetward::detect
