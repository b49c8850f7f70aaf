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

Status LogMark::forget_other() {
  if (noted_ <= records_) return {};
  if (::ftruncate(fd_, 0) != 0 || ::fsync(fd_) != 0)
    return Error(ErrorCode::unavailable, fmt::format("empty the mark of the log: {}", std::strerror(errno)));
  noted_ = 0;
  return {};
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

Status check_log_mark(std::int64_t noted, std::int64_t records) {
  if (records == 0 || noted <= records) return {};
  return Error(ErrorCode::corrupted, fmt::format("it ends {} records before what it has acknowledged: it was cut "
                                                 "short, or put back from an older copy",
                                                 noted - records));
}

}  // namespace fleetward::bus
