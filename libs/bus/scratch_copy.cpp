#include "bus/scratch_copy.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>

namespace fleetward::bus {

Result<std::unique_ptr<ScratchCopy>> ScratchCopy::of(const std::string& path) {
  std::error_code failed;
  const std::string log = path + "-wal";
  if (!std::filesystem::exists(log, failed) || std::filesystem::file_size(log, failed) == 0) return {nullptr};
  std::string pattern = (std::filesystem::temp_directory_path(failed) / "fleetward-bus-XXXXXX").string();
  if (failed || ::mkdtemp(pattern.data()) == nullptr) {
    return Error(ErrorCode::unavailable, "make a scratch folder: " + std::string(std::strerror(errno)));
  }
  auto folder = std::unique_ptr<ScratchCopy>(new ScratchCopy(pattern));
  std::filesystem::copy_file(path, folder->file(), failed);
  if (!failed) std::filesystem::copy_file(log, folder->file() + "-wal", failed);
  using std::filesystem::perms;  // the original may be read-only, and the copy takes that over
  if (!failed) std::filesystem::permissions(folder->file(), perms::owner_read | perms::owner_write, failed);
  if (!failed) std::filesystem::permissions(folder->file() + "-wal", perms::owner_read | perms::owner_write, failed);
  if (failed) return Error(ErrorCode::unavailable, fmt::format("copy {}: {}", path, failed.message()));
  return folder;
}

ScratchCopy::~ScratchCopy() {
  std::error_code ignored;  // a scratch folder that stays is no harm
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace fleetward::bus
