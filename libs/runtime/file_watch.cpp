#include "runtime/file_watch.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

namespace fleetward::runtime {

FileWatch::FileWatch(std::vector<std::string> paths) : paths_(std::move(paths)), read_(stamp()), seen_(read_) {}

std::string FileWatch::stamp() const {
  std::string all;
  for (const std::string& path : paths_) {
    struct stat s {};
    if (::stat(path.c_str(), &s) == 0) {
      all += fmt::format("{}.{}.{:o}.{}.{}.{}.{}.{}", s.st_dev, s.st_ino, s.st_mode, s.st_size, s.st_mtim.tv_sec,
                         s.st_mtim.tv_nsec, s.st_ctim.tv_sec, s.st_ctim.tv_nsec);
    }
    all += '|';
  }
  return all;
}

bool FileWatch::has_changed() {
  const std::string now = stamp();
  const bool is_at_rest = std::exchange(seen_, now) == now;
  return is_at_rest && now != read_;
}

}  // namespace fleetward::runtime
