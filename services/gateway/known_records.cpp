#include "services/gateway/known_records.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace fleetward::gateway {
namespace {

constexpr std::string_view magic = "fleetward marks1";

std::string path_in(const std::string& folder) { return folder + "/known-records"; }

}  // namespace

void KnownRecords::load() {
  if (folder_.empty()) return;
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path_in(folder_).c_str(), "re"));
  if (!file) return;
  access::RecordMark mark;
  if (std::fread(mark.data(), 1, mark.size(), file.get()) != mark.size() ||
      std::memcmp(mark.data(), magic.data(), mark.size()) != 0)
    return;
  // A last one that a crash has cut is none.
  while (marks_.size() < marks_max && std::fread(mark.data(), 1, mark.size(), file.get()) == mark.size())
    marks_.insert(mark);
}

void KnownRecords::add(const access::RecordMark& mark) {
  if (folder_.empty()) return;
  if (reading_) {
    if (added_.size() < marks_max) added_.push_back(mark);
    return;
  }
  if (!file_ || count_ >= marks_max) return;
  // Flushed with the next ones: what is lost is judged again.
  if (std::fwrite(mark.data(), 1, mark.size(), file_.get()) == mark.size()) ++count_;
  else file_.reset();
}

Status KnownRecords::finish() {
  reading_ = false;
  marks_ = {};
  const std::vector<access::RecordMark> added = std::exchange(added_, {});
  if (folder_.empty()) return {};
  const auto failed = [](std::string_view what) {
    return Error(ErrorCode::unavailable, fmt::format("known records: {}: {}", what, std::strerror(errno)));
  };
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return Error(ErrorCode::unavailable, "known records: folder: " + error.message());
  const std::string next = path_in(folder_) + ".new";
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed("open");
  std::unique_ptr<std::FILE, Close> file(::fdopen(fd, "w"));
  if (!file) {
    ::close(fd);
    return failed("open");
  }
  bool good = std::fwrite(magic.data(), 1, magic.size(), file.get()) == magic.size();
  for (const access::RecordMark& mark : added)
    good = good && std::fwrite(mark.data(), 1, mark.size(), file.get()) == mark.size();
  if (!good || std::fflush(file.get()) != 0 || std::rename(next.c_str(), path_in(folder_).c_str()) != 0)
    return failed("write");
  file_ = std::move(file);
  count_ = added.size();
  return {};
}

}  // namespace fleetward::gateway
