// Rows out of a SQLite file that SQLite cannot read any more: every page is looked at for itself, so what is whole is
// found wherever the way to it is broken.
//
// Without SQLite, and without a promise: a row is what a page's bytes say, of this or an older state of its table.
// Whoever asks has to know its own (bus::record_sum). Format: https://www.sqlite.org/fileformat2.html section 1.6.
// Limits: row_bytes_max a row. Reads the file and its write-ahead log; changes nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/result.hpp"
#include "core/text.hpp"
#include "sqlite/wal.hpp"

namespace fleetward::sqlite {

using RawValue = std::variant<std::monostate, std::int64_t, std::string>;  // floating numbers are not read

struct RawRow {
  std::int64_t rowid = 0;
  std::vector<RawValue> columns;
};

class RawFile {
 public:
  static constexpr std::size_t row_bytes_max = 4 << 20;

  static Result<RawFile> open(const std::string& path);
  RawFile(RawFile&& other) noexcept;
  RawFile& operator=(RawFile&&) = delete;
  ~RawFile();

  // `known` says whether a row is what it seems to be; a long one that is not is read once more by the newest pages.
  void for_each_row(const std::function<bool(const RawRow&)>& known);

 private:
  RawFile(int fd, int wal_fd, std::uint32_t pages, Wal wal);
  bool read(std::uint32_t number, bool newest, Bytes& page) const;
  void read_free_pages();
  void read_leaf(ByteView page, const std::function<bool(const RawRow&)>& known);
  std::optional<RawRow> read_cell(ByteView page, std::size_t at, bool newest) const;
  std::optional<std::string> whole_payload(ByteView page, std::size_t at, std::uint64_t bytes, bool newest) const;

  int fd_;
  int wal_fd_;
  std::uint32_t pages_;
  Wal wal_;
  std::vector<bool> free_;  // by page number
};

}  // namespace fleetward::sqlite
