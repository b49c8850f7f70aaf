// Big-endian numbers of SQLite's file format. Private to the library.
#pragma once

#include <cstdint>

#include "core/text.hpp"

namespace fleetward::sqlite {

constexpr std::size_t page_bytes = 4096;  // of every file of ours: SQLite's default

inline std::uint32_t be16(ByteView b, std::size_t at) { return std::uint32_t{b[at]} << 8 | b[at + 1]; }
inline std::uint32_t be32(ByteView b, std::size_t at) { return be16(b, at) << 16 | be16(b, at + 2); }

}  // namespace fleetward::sqlite
