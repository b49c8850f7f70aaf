// A copy of a bus file whose process was killed has a write-ahead log beside it. SQLite can only read that by writing
// beside the file, so it is read from a scratch copy of our own, which lives as long as this object.
#pragma once

#include <memory>
#include <string>

#include "core/result.hpp"

namespace fleetward::bus {

class ScratchCopy {
 public:
  // Nothing when there is no log to be taken in. unavailable: there is no room for it.
  static Result<std::unique_ptr<ScratchCopy>> of(const std::string& path);
  ScratchCopy(const ScratchCopy&) = delete;
  ScratchCopy& operator=(const ScratchCopy&) = delete;
  ~ScratchCopy();
  [[nodiscard]] std::string file() const { return folder_ + "/bus.db"; }

 private:
  explicit ScratchCopy(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace fleetward::bus
