// The playbook's file while the server runs: read again when it changed or when asked to, taken only when it is good.
//
// A change is read when the file has come to rest (file_watch.hpp): half of a playbook may be a good one, without the
// things at its end that are protected. What cannot be read leaves the old one in force and is told once. Blocking;
// main thread.
#pragma once

#include <functional>
#include <string>

#include "json/json.hpp"
#include "respond/playbook.hpp"
#include "runtime/file_watch.hpp"

namespace fleetward::program {

// What differs, for a log line: "added: a, b; changed: c; removed: d; protected changed"; empty: nothing does.
std::string playbook_changes(const json::Value& before, const json::Value& after);

class PlaybookWatch {
 public:
  using Apply = std::function<void(respond::Playbook)>;

  // `path` may be empty: then there is nothing to watch. The file as it is now counts as in force.
  PlaybookWatch(std::string path, Apply apply);

  // Reads the file when it changed and has come to rest. Called now and then.
  void look();
  // Reads it whether it changed or not, and says so.
  void reload();
  // The last reading was no good: an older playbook is in force.
  [[nodiscard]] bool is_stale() const { return stale_; }
  // What the last reading brought: the changes, or the error.
  [[nodiscard]] const std::string& told() const { return told_; }

 private:
  void read(bool asked);

  std::string path_;
  Apply apply_;
  runtime::FileWatch file_;
  json::Value in_force_;
  bool stale_ = false;
  std::string told_;
};

}  // namespace fleetward::program
