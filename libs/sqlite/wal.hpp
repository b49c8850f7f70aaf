// The write-ahead log of a SQLite file, looked at without SQLite: that takes in what is whole at its beginning and
// drops the rest without a word, whether it was never finished or is damaged.
//
// Format: https://www.sqlite.org/fileformat2.html section 4. Reads the file; opens nothing by SQLite and changes
// nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace fleetward::sqlite {

struct WalFrame {
  std::uint32_t page = 0;         // its number, from 1
  std::uint64_t file_offset = 0;  // of its image
};

struct Wal {
  std::vector<WalFrame> frames;   // of this generation, in order, whole or not
  std::size_t whole = 0;          // so many at the beginning are what was written
  std::size_t commits_after = 0;  // ends of transactions that were written after the first that is not
  // Two, because the last transaction may have been cut off by a loss of power before it was said to be kept.
  [[nodiscard]] bool is_damaged() const { return commits_after >= 2; }
};

// Of the file PATH-wal; empty when there is none. unavailable: it cannot be read.
Result<Wal> read_wal(const std::string& path);

}  // namespace fleetward::sqlite
