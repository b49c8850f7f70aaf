#include "store/postgres_health.hpp"

#include <algorithm>

#include "log/log.hpp"

namespace fleetward::store {
namespace {

constexpr Millis retry_min{50};
constexpr Millis retry_max{5'000};

}  // namespace

Status PostgresHealth::may_connect() {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (!reach_ && now < next_attempt_) return reach_;
  next_attempt_ = now + retry_;  // the others wait for how this one fares
  return {};
}

void PostgresHealth::connected() {
  const std::lock_guard lock(mutex_);
  if (!reach_) log::info("store_reached_again", {});
  reach_ = {};
  retry_ = Millis(0);
}

void PostgresHealth::unreachable(const Error& error) {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  if (reach_.ok()) {
    gone_since_ = now;
    log::warn("store_unreachable", {{"error", error.message}});
  }
  reach_ = error;
  retry_ = std::clamp(retry_ * 2, retry_min, retry_max);
  next_attempt_ = now + retry_;
}

Millis PostgresHealth::patience_left() const {
  const std::lock_guard lock(mutex_);
  if (is_stopping_) return Millis(0);
  if (reach_.ok()) return patience_;
  const auto gone_for = std::chrono::duration_cast<Millis>(Clock::now() - gone_since_);
  return std::max(patience_ - gone_for, Millis(0));
}

void PostgresHealth::note(const Status& status, bool has_written) {
  const std::lock_guard lock(mutex_);
  if (status.ok() && has_written) disk_ = {};
  const bool concerns_disk =
      !status && (status.error().code == ErrorCode::unavailable || status.error().code == ErrorCode::corrupted);
  if (concerns_disk) disk_ = status;
}

Status PostgresHealth::health() const {
  const std::lock_guard lock(mutex_);
  return reach_.ok() ? disk_ : reach_;
}

void PostgresHealth::stop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stopped_.notify_all();
}

bool PostgresHealth::is_stopping() const {
  const std::lock_guard lock(mutex_);
  return is_stopping_;
}

void PostgresHealth::pause(Millis limit) {
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, limit, [this] { return is_stopping_; });
}

}  // namespace fleetward::store
