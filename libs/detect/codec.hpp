// Bytes of checkpoints and sketches: little-endian fixed numbers, varints (seven bits a byte, least first) and counted
// texts, read back with every bound checked.
//
// Pure. A Reader that ran past the end, or met an impossible length, stays failed and gives zeros.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace fleetward::detect {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie in memory");

class Writer {
 public:
  void reserve(std::size_t bytes) { out_.reserve(bytes); }
  void u8(std::uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void u16(std::uint16_t v) { put(&v, sizeof(v)); }
  void u32(std::uint32_t v) { put(&v, sizeof(v)); }
  void u64(std::uint64_t v) { put(&v, sizeof(v)); }
  void i64(std::int64_t v) { put(&v, sizeof(v)); }
  void words(const std::vector<std::uint64_t>& v) { put(v.data(), v.size() * sizeof(std::uint64_t)); }
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
  void put(const void* numbers, std::size_t bytes) { out_.append(static_cast<const char*>(numbers), bytes); }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  std::uint8_t u8() { return get<std::uint8_t>(); }
  std::uint16_t u16() { return get<std::uint16_t>(); }
  std::uint32_t u32() { return get<std::uint32_t>(); }
  std::uint64_t u64() { return get<std::uint64_t>(); }
  std::int64_t i64() { return get<std::int64_t>(); }
  // So many, if they are there. Room for `more` is left behind them.
  void words(std::size_t count, std::vector<std::uint64_t>& out, std::size_t more = 0) {
    if (count > in_.size() / sizeof(std::uint64_t)) {
      failed_ = true;
      return;
    }
    out.reserve(count + more);
    out.resize(count);
    copy(out.data(), count * sizeof(std::uint64_t));
  }
  // Only in its shortest form.
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint64_t byte = u8();
      v |= (byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      failed_ = failed_ || (byte == 0 && shift > 0) || (shift == 63 && byte > 1);
      return failed_ ? 0 : v;
    }
    failed_ = true;
    return 0;
  }
  std::string text() { return std::string(text_view()); }
  std::string_view text_view() {
    const std::size_t size = u16();
    if (size > in_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view out = in_.substr(0, size);
    in_.remove_prefix(size);
    return out;
  }
  [[nodiscard]] std::string_view rest() const { return in_; }
  // Good when all was read and nothing is left.
  [[nodiscard]] bool finished() const { return !failed_ && in_.empty(); }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  template <class T>
  T get() {
    T v{};
    if (failed_ || in_.size() < sizeof(T)) failed_ = true;
    else copy(&v, sizeof(T));
    return v;
  }
  void copy(void* to, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, in_.data(), bytes);
    in_.remove_prefix(bytes);
  }
  std::string_view in_;
  bool failed_ = false;
};

}  // namespace fleetward::detect
