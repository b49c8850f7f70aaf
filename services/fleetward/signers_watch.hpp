// signers.json while the server runs: read again when it changed and has come to rest, or when asked to; taken only
// when it is good. What is no good leaves the older list in force and is told once. Blocking; main thread.
#pragma once

#include <functional>
#include <string>

#include "runtime/file_watch.hpp"
#include "services/fleetward/signing_keys.hpp"

namespace fleetward::program {

class SignersWatch {
 public:
  using Apply = std::function<void(SharedSigners)>;

  // `data_dir` may be empty: then there is nothing to watch.
  SignersWatch(std::string data_dir, Apply apply);

  // Called now and then.
  void look();
  void reload();
  // The last reading was no good: an older list is in force.
  [[nodiscard]] bool is_stale() const { return stale_; }

 private:
  void read(bool asked);

  std::string data_dir_;
  Apply apply_;
  runtime::FileWatch file_;
  std::string in_force_;
  bool stale_ = false;
};

}  // namespace fleetward::program
