#include "sqlite/raw_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sqlite/bytes.hpp"

namespace fleetward::sqlite {
namespace {

constexpr std::uint8_t table_leaf = 0x0d;
constexpr std::size_t columns_max = 64;
constexpr std::uint64_t overflow_bytes = page_bytes - 4;

// Nothing when the bytes end before it does.
std::optional<std::uint64_t> varint(ByteView b, std::size_t& at) {
  std::uint64_t out = 0;
  for (int i = 0; i < 9; ++i) {
    if (at >= b.size()) return std::nullopt;
    const std::uint8_t byte = b[at++];
    if (i == 8) return out << 8 | byte;
    out = out << 7 | (byte & 0x7f);
    if ((byte & 0x80) == 0) return out;
  }
  return out;
}

// So many bytes of a row stand in its cell; the rest in pages of their own.
std::uint64_t local_bytes(std::uint64_t payload) {
  constexpr std::uint64_t most = page_bytes - 35;
  constexpr std::uint64_t least = (page_bytes - 12) * 32 / 255 - 23;
  if (payload <= most) return payload;
  const std::uint64_t wanted = least + (payload - least) % overflow_bytes;
  return wanted <= most ? wanted : least;
}

std::optional<RawValue> value_of(std::uint64_t type, ByteView b, std::size_t& at) {
  static constexpr std::uint64_t integer_bytes[] = {0, 1, 2, 3, 4, 6, 8};
  if (type == 0) return RawValue();
  if (type == 8 || type == 9) return RawValue(static_cast<std::int64_t>(type - 8));
  if (type == 7 || type == 10 || type == 11) return std::nullopt;
  const std::uint64_t bytes = type <= 6 ? integer_bytes[type] : (type - 12) / 2;
  if (bytes > b.size() - at) return std::nullopt;
  const ByteView value = b.subspan(at, bytes);
  at += bytes;
  if (type >= 12) return RawValue(std::string(as_text(value)));
  std::uint64_t out = (value[0] & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (const std::uint8_t byte : value) out = out << 8 | byte;
  return RawValue(static_cast<std::int64_t>(out));
}

std::optional<std::vector<RawValue>> columns_of(ByteView record) {
  std::size_t at = 0;
  const auto header = varint(record, at);
  if (!header || *header > record.size()) return std::nullopt;
  std::size_t body = *header;
  std::vector<RawValue> out;
  while (at < *header) {
    const auto type = varint(record, at);
    if (!type || out.size() == columns_max) return std::nullopt;
    auto value = value_of(*type, record, body);
    if (!value) return std::nullopt;
    out.push_back(std::move(*value));
  }
  if (body != record.size()) return std::nullopt;
  return out;
}

// A page that the file ends in goes on with zeros: what stands before may be whole.
bool read_page(int fd, std::uint64_t at, Bytes& page) {
  page.assign(page_bytes, 0);
  return ::pread(fd, page.data(), page_bytes, static_cast<off_t>(at)) > 0;
}

}  // namespace

Result<RawFile> RawFile::open(const std::string& path) {
  auto wal = read_wal(path);
  if (!wal) return wal.error();
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts {};
  if (fd < 0 || ::fstat(fd, &facts) != 0) {
    const Error error(ErrorCode::unavailable, path + ": " + std::strerror(errno));
    if (fd >= 0) ::close(fd);
    return error;
  }
  const int wal_fd = wal->frames.empty() ? -1 : ::open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC);
  const auto pages =
      static_cast<std::uint32_t>((static_cast<std::uint64_t>(facts.st_size) + page_bytes - 1) / page_bytes);
  return RawFile(fd, wal_fd, pages, std::move(*wal));
}

RawFile::RawFile(int fd, int wal_fd, std::uint32_t pages, Wal wal)
    : fd_(fd), wal_fd_(wal_fd), pages_(pages), wal_(std::move(wal)) {}

RawFile::RawFile(RawFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      wal_fd_(std::exchange(other.wal_fd_, -1)),
      pages_(other.pages_),
      wal_(std::move(other.wal_)) {}

RawFile::~RawFile() {
  if (fd_ >= 0) ::close(fd_);
  if (wal_fd_ >= 0) ::close(wal_fd_);
}

bool RawFile::read(std::uint32_t number, bool newest, Bytes& page) const {
  const auto from = [&page](int fd, std::uint64_t at) { return read_page(fd, at, page); };
  if (newest) {
    const auto frame = std::find_if(wal_.frames.rbegin(), wal_.frames.rend(),
                                    [number](const WalFrame& f) { return f.page == number; });
    if (frame != wal_.frames.rend() && from(wal_fd_, frame->file_offset)) return true;
  }
  return number >= 1 && number <= pages_ && from(fd_, std::uint64_t{number - 1} * page_bytes);
}

// What is on the list of free pages was taken away on purpose; a list that is damaged ends where it is.
void RawFile::read_free_pages() {
  free_.assign(std::size_t{pages_} + 1, false);
  Bytes page;
  if (!read(1, true, page) || std::memcmp(page.data(), "SQLite format 3", 16) != 0) return;
  std::uint32_t trunk = be32(page, 32);
  for (std::uint32_t steps = 0; trunk != 0 && trunk <= pages_ && !free_[trunk] && steps < pages_; ++steps) {
    if (!read(trunk, true, page) || be32(page, 4) > page_bytes / 4 - 2) return;
    free_[trunk] = true;
    for (std::uint32_t i = 0; i < be32(page, 4); ++i) {
      const std::uint32_t leaf = be32(page, 8 + std::size_t{i} * 4);
      if (leaf >= 1 && leaf <= pages_) free_[leaf] = true;
    }
    trunk = be32(page, 0);
  }
}

void RawFile::for_each_row(const std::function<bool(const RawRow&)>& known) {
  read_free_pages();
  Bytes page(page_bytes);
  for (std::uint32_t number = 2; number <= pages_; ++number) {
    if (!free_[number] && read(number, false, page)) read_leaf(page, known);
  }
  for (const WalFrame& frame : wal_.frames) {
    if (frame.page > 1 && read_page(wal_fd_, frame.file_offset, page)) read_leaf(page, known);
  }
}

void RawFile::read_leaf(ByteView page, const std::function<bool(const RawRow&)>& known) {
  if (page[0] != table_leaf) return;
  const std::size_t cells = std::min<std::size_t>(be16(page, 3), (page_bytes - 8) / 2);
  for (std::size_t i = 0; i < cells; ++i) {
    const std::size_t at = be16(page, 8 + 2 * i);
    const auto row = read_cell(page, at, false);
    if (row && known(*row)) continue;
    const auto again = read_cell(page, at, true);
    if (again) known(*again);
  }
}

std::optional<RawRow> RawFile::read_cell(ByteView page, std::size_t at, bool newest) const {
  const auto bytes = varint(page, at);
  const auto rowid = varint(page, at);
  if (!bytes || !rowid || *bytes > row_bytes_max) return std::nullopt;
  const auto payload = whole_payload(page, at, *bytes, newest);
  if (!payload) return std::nullopt;
  auto columns = columns_of(as_bytes(*payload));
  if (!columns) return std::nullopt;
  return RawRow{static_cast<std::int64_t>(*rowid), std::move(*columns)};
}

std::optional<std::string> RawFile::whole_payload(ByteView page, std::size_t at, std::uint64_t bytes,
                                                  bool newest) const {
  const std::uint64_t local = local_bytes(bytes);
  const std::uint64_t link = local < bytes ? 4 : 0;
  if (at > page.size() || local + link > page.size() - at) return std::nullopt;
  std::string out(as_text(page.subspan(at, local)));
  if (link == 0) return out;
  Bytes more;
  for (std::uint32_t next = be32(page, at + local); out.size() < bytes; next = be32(more, 0)) {
    if (!read(next, newest, more)) return std::nullopt;
    out += as_text(ByteView(more).subspan(4, std::min<std::uint64_t>(overflow_bytes, bytes - out.size())));
  }
  return out;
}

}  // namespace fleetward::sqlite
