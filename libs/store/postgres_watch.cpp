#include "store/postgres_watch.hpp"

#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>

#include "log/log.hpp"

namespace fleetward::store {
namespace {

constexpr Millis look_every{100};

}  // namespace

PostgresWatch::PostgresWatch() : thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), "store-watch");
}

PostgresWatch::~PostgresWatch() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  stopped_.notify_all();
  thread_.join();
}

void PostgresWatch::hurry(Millis limit) {
  const std::lock_guard lock(mutex_);
  latest_ = Clock::now() + limit;
  for (Guard::Entry& entry : entries_) entry.end = std::min(entry.end, latest_);
}

PostgresWatch::Guard::Guard(PostgresWatch& watch, int socket, Millis limit) : watch_(watch) {
  const std::lock_guard lock(watch_.mutex_);
  entry_ = watch_.entries_.insert(watch_.entries_.end(), {socket, std::min(Clock::now() + limit, watch_.latest_)});
}

PostgresWatch::Guard::~Guard() {
  const std::lock_guard lock(watch_.mutex_);
  watch_.entries_.erase(entry_);
}

void PostgresWatch::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    stopped_.wait_for(lock, look_every);
    const Clock::time_point now = Clock::now();
    for (Guard::Entry& entry : entries_) {
      if (entry.socket < 0 || now < entry.end) continue;
      // Under the lock: the socket cannot have been closed, and its number given away, meanwhile.
      ::shutdown(entry.socket, SHUT_RDWR);
      entry.socket = -1;
      log::warn("store_server_does_not_answer", {});
    }
  }
}

}  // namespace fleetward::store
