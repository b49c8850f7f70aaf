// Ends waits for a server that no longer answers: libpq itself waits without an end, and a server that stands still
// keeps its connections alive.
//
// Owns a thread that looks several times a second at the sockets under guard and shuts those whose time is over; their
// owner's call then fails as a lost connection. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

#include "core/time.hpp"

namespace fleetward::store {

class PostgresWatch {
 public:
  PostgresWatch();
  ~PostgresWatch();
  PostgresWatch(const PostgresWatch&) = delete;
  PostgresWatch& operator=(const PostgresWatch&) = delete;

  // Nobody waits longer than that from now on, nor begins to.
  void hurry(Millis limit);

  // For the time of one call to the server. The socket stays open as long.
  class Guard {
   public:
    Guard(PostgresWatch& watch, int socket, Millis limit);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    struct Entry;
    PostgresWatch& watch_;
    std::list<Entry>::iterator entry_;
    friend class PostgresWatch;
  };

 private:
  using Clock = std::chrono::steady_clock;
  void run();

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool is_stopping_ = false;
  Clock::time_point latest_ = Clock::time_point::max();
  std::list<Guard::Entry> entries_;
  std::thread thread_;
};

struct PostgresWatch::Guard::Entry {
  int socket;
  Clock::time_point end;
};

}  // namespace fleetward::store
