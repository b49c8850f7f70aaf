#include "runtime/module.hpp"

#include <fmt/format.h>

#include <future>
#include <memory>
#include <thread>

#include "log/log.hpp"

namespace fleetward::runtime {
namespace {

// Past a module's own limit, so that one that gives up waiting by itself is heard.
constexpr Millis stop_grace{500};

// Says whether it ended. It runs on a thread of its own because a stuck one could not be left behind otherwise. One
// that took all of its limit gave up waiting: tasks of it may go on.
bool stop_within(const Module& module, Millis limit) {
  if (!module.stop) return true;
  const auto start = std::chrono::steady_clock::now();
  const auto done = std::make_shared<std::promise<void>>();
  std::future<void> ended = done->get_future();
  std::thread worker([&module, limit, done] {
    module.stop(limit);
    done->set_value();
  });
  if (ended.wait_for(limit + stop_grace) == std::future_status::ready) {
    worker.join();
    return std::chrono::steady_clock::now() - start < limit;
  }
  worker.detach();
  return false;
}

}  // namespace

void Modules::add(Module module) { modules_.push_back(std::move(module)); }

Status Modules::start_all(Millis stop_limit) {
  for (const Module& module : modules_) {
    log::debug("module_starting", {{"module", module.name}});
    if (const Status started = module.start(); !started) {
      log::error("module_start_failed", {{"module", module.name}, {"error", started.error().message}});
      if (!stop_all(stop_limit)) log::error("module_left_behind_after_failed_start");
      return started.error().with_context(fmt::format("start {}", module.name));
    }
    const std::lock_guard lock(mutex_);
    ++started_;
  }
  const std::lock_guard lock(mutex_);
  phase_ = Phase::running;
  return {};
}

bool Modules::stop_all(Millis limit) {
  std::size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::stopping;
    left = started_;
  }
  bool all_ended = true;
  while (left > 0) {
    const Module& module = modules_[--left];
    log::debug("module_stopping", {{"module", module.name}});
    if (!stop_within(module, limit)) {
      log::error("module_stop_overdue", {{"module", module.name}, {"limit_ms", limit.count()}});
      all_ended = false;
    }
    const std::lock_guard lock(mutex_);
    started_ = left;
  }
  return all_ended;
}

std::vector<ModuleReadiness> Modules::readiness() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModuleReadiness> all;
  for (std::size_t i = 0; i < started_; ++i) {
    const Module& module = modules_[i];
    const Status ready = module.ready ? module.ready() : Status();
    all.push_back({module.name, ready.ok(), ready ? "" : ready.error().message});
  }
  return all;
}

bool Modules::is_ready() const {
  {
    const std::lock_guard lock(mutex_);
    if (phase_ != Phase::running) return false;
  }
  for (const ModuleReadiness& module : readiness()) {
    if (!module.ready) return false;
  }
  return true;
}

}  // namespace fleetward::runtime
