// Files that others change while the server runs: whether they did, and have come to rest.
//
// Looks at identity, size and times, so a replaced file, a moved link and a changed mode count. Reads nothing.
// Blocking; one thread.
#pragma once

#include <string>
#include <vector>

namespace fleetward::runtime {

class FileWatch {
 public:
  // As they are now they count as read. One that is missing is watched, too.
  explicit FileWatch(std::vector<std::string> paths);

  // One look: true when they differ from what was read and the last look found them as they are now. What is still
  // being written is thus left alone.
  bool has_changed();
  // They are about to be read: what changes from now on is a change.
  void mark_read() { read_ = stamp(); }

 private:
  [[nodiscard]] std::string stamp() const;

  std::vector<std::string> paths_;
  std::string read_;
  std::string seen_;  // at the last look
};

}  // namespace fleetward::runtime
