// Modules: the parts of a process, started in order and stopped in reverse, each within its limit.
//
// A Modules object is used from one thread (main); readiness() may be called from any thread while it lives, from
// start_all() on. What a module's `ready` reads must be safe to read from any thread.
// Limits: a stop that takes longer than its limit is left behind, logged and told; the rest is stopped all the same.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"

namespace fleetward::runtime {

struct Module {
  std::string name;
  // Returns when the module does its work, or cannot. A module whose start failed is not stopped.
  std::function<Status()> start;
  // Ends the work in good order within `limit`; one that cannot returns once that is over, with all of it still there.
  // May be empty.
  std::function<void(Millis limit)> stop;
  // Good when the module can serve now, else why not. Empty: ready from its start on.
  std::function<Status()> ready;
};

struct ModuleReadiness {
  std::string name;
  bool ready = false;
  std::string reason;  // why not
};

class Modules {
 public:
  Modules() = default;
  Modules(const Modules&) = delete;
  Modules& operator=(const Modules&) = delete;

  void add(Module module);

  // In order of add(). On a failure those that run are stopped again and the error names the module.
  Status start_all(Millis stop_limit);

  // In reverse order; every module has `limit` for itself. False when one did not end: its thread may still touch its
  // module, so the process must end without destroying anything (std::_Exit).
  bool stop_all(Millis limit);

  // One entry a module that was started, in order. Ready as a whole: start_all() is done, no stop has begun, all are.
  [[nodiscard]] std::vector<ModuleReadiness> readiness() const;
  [[nodiscard]] bool is_ready() const;

 private:
  std::vector<Module> modules_;
  mutable std::mutex mutex_;  // guards started_ and phase_ against readiness() on another thread
  std::size_t started_ = 0;
  enum class Phase { idle, running, stopping } phase_ = Phase::idle;
};

}  // namespace fleetward::runtime
