#include "sqlite/wal.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "sqlite/bytes.hpp"

namespace fleetward::sqlite {
namespace {

constexpr std::size_t header_bytes = 32;
constexpr std::size_t frame_header_bytes = 24;
constexpr std::uint32_t magic = 0x377f0682;  // with its last bit: words of sums are big endian

using Sum = std::array<std::uint32_t, 2>;

Sum sum_at(ByteView b, std::size_t at) { return {be32(b, at), be32(b, at + 4)}; }

void add(Sum& sum, ByteView bytes, bool big_endian) {
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const std::uint32_t a = be32(bytes, i), b = be32(bytes, i + 4);
    sum[0] += (big_endian ? a : __builtin_bswap32(a)) + sum[1];
    sum[1] += (big_endian ? b : __builtin_bswap32(b)) + sum[0];
  }
}

}  // namespace

Result<Wal> read_wal(const std::string& path) {
  Wal wal;
  const std::string name = path + "-wal";
  std::error_code failed;
  if (!std::filesystem::exists(name, failed)) return wal;
  std::ifstream file(name, std::ios::binary);
  if (!file) return Error(ErrorCode::unavailable, name + ": cannot be read");
  std::array<std::uint8_t, header_bytes> header{};
  std::array<std::uint8_t, frame_header_bytes + page_bytes> frame{};
  if (!file.read(reinterpret_cast<char*>(header.data()), header.size())) return wal;
  const bool big_endian = (header[3] & 1) != 0;
  Sum expected{};
  add(expected, ByteView(header).first(header_bytes - 8), big_endian);
  const bool good_header =
      (be32(header, 0) & ~1U) == magic && be32(header, 8) == page_bytes && expected == sum_at(header, header_bytes - 8);
  bool in_whole_part = good_header;
  Sum before = sum_at(header, header_bytes - 8);  // each sum goes on from the one before it
  Sum salt = sum_at(header, 16);
  std::uint64_t end = header_bytes;
  for (std::uint64_t at = header_bytes; file.read(reinterpret_cast<char*>(frame.data()), frame.size());
       at += frame.size()) {
    // Of an earlier generation: those frames were taken into the file long ago. Where the header is not to be believed,
    // the first frame says which it is.
    if (!good_header && wal.frames.empty()) salt = sum_at(frame, 8);
    const bool of_this_generation = sum_at(frame, 8) == salt;
    Sum sum = before;
    add(sum, ByteView(frame).first(8), big_endian);
    add(sum, ByteView(frame).subspan(frame_header_bytes), big_endian);
    before = sum_at(frame, 16);
    const bool is_whole = of_this_generation && sum == before;
    in_whole_part = in_whole_part && is_whole;
    if (of_this_generation) wal.frames.push_back({be32(frame, 0), at + frame_header_bytes});
    if (in_whole_part) ++wal.whole;
    else if (is_whole && be32(frame, 4) != 0) ++wal.commits_after;
    end = at + frame.size();
  }
  const auto left = static_cast<std::size_t>(file.gcount());  // of a frame that the file ends in
  if (left > frame_header_bytes && sum_at(frame, 8) == salt)
    wal.frames.push_back({be32(frame, 0), end + frame_header_bytes});
  return wal;
}

}  // namespace fleetward::sqlite
