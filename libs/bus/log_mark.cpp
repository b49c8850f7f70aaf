#include "bus/log_mark.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "log/log.hpp"

namespace fleetward::bus {
namespace {

constexpr std::int64_t pattern = 0x5deece66d1ce4e5b;  // the number stands there twice, once so
using Noted = std::array<std::int64_t, 2>;

std::int64_t read_noted(int fd) {
  Noted noted{};
  if (::pread(fd, noted.data(), sizeof(noted), 0) != static_cast<ssize_t>(sizeof(noted))) return 0;
  return (noted[0] ^ pattern) == noted[1] && noted[0] > 0 ? noted[0] : 0;
}

}  // namespace

Result<LogMark> LogMark::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error(ErrorCode::unavailable, fmt::format("open {}: {}", path, std::strerror(errno)));
  return LogMark(fd, read_noted(fd));
}

LogMark::~LogMark() {
  if (fd_ >= 0) ::close(fd_);
}

void LogMark::add(std::int64_t records) {
  if (records == 0) return;
  records_ += records;
  const Noted noted{records_, records_ ^ pattern};
  // A mark that stays behind says less than it could, and nothing that is wrong.
  if (::pwrite(fd_, noted.data(), sizeof(noted), 0) != static_cast<ssize_t>(sizeof(noted)))
    log::debug("log_mark_not_noted", {{"error", std::strerror(errno)}});
}

std::int64_t read_log_mark(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const std::int64_t noted = read_noted(fd);
  ::close(fd);
  return noted;
}

}  // namespace fleetward::bus
