#include "sqlite/damage.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "sqlite/bytes.hpp"
#include "sqlite/sqlite.hpp"
#include "sqlite/wal.hpp"

namespace fleetward::sqlite {
namespace {

constexpr std::size_t header_bytes = 100;

Status check_log(const Wal& wal) {
  if (!wal.is_damaged()) return {};
  return Error(
      ErrorCode::corrupted,
      fmt::format("its write-ahead log is damaged: after {} whole pages, {} transactions that were kept cannot "
                  "be taken in",
                  wal.whole, wal.commits_after));
}

// With a write-ahead log the file may be shorter than it says: the rest is still there.
Status check_size(const std::string& path, std::uint64_t size) {
  std::array<std::uint8_t, header_bytes> header{};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(header.data()), header.size()))
    return Error(ErrorCode::corrupted, fmt::format("it has {} bytes and no header", size));
  const std::uint64_t pages = be32(header, 28);
  const bool is_newest = be32(header, 24) == be32(header, 92);
  if (!is_newest || size >= pages * page_bytes) return {};
  return Error(ErrorCode::corrupted,
               fmt::format("it is cut short: {} of {} pages are there", size / page_bytes, pages));
}

Status check_pages(const std::string& path) {
  auto db = Database::open(path, Database::Mode::read_only);
  if (!db) return db.error();
  auto statement = db->prepare("PRAGMA quick_check(1)");
  if (!statement) return statement.error();
  const Result<bool> row = statement->step();
  if (!row) return row.error();
  const std::string verdict = *row ? statement->text(0) : "ok";
  return verdict == "ok" ? Status() : Status(Error(ErrorCode::corrupted, printable(verdict, 300)));
}

}  // namespace

Status check_whole(const std::string& path, std::uint64_t bytes_max) {
  std::error_code failed;
  const std::uint64_t size = std::filesystem::file_size(path, failed);
  if (failed) return {};
  const Result<Wal> wal = read_wal(path);
  if (!wal) return wal.error();
  if (const Status whole = check_log(*wal); !whole) return whole;
  if (size == 0) return {};
  if (wal->frames.empty()) {
    if (const Status whole = check_size(path, size); !whole) return whole;
  }
  return size <= bytes_max ? check_pages(path) : Status();
}

}  // namespace fleetward::sqlite
