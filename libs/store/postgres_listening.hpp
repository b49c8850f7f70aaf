// Hears NOTIFY for a whole process: a connection of its own, on a thread of its own, made when somebody first listens.
//
// After a connection was lost every listener is woken once: what was told meanwhile is not told again. Thread-safe.
// Limits: a channel stays listened to once it was; channels are our own constants.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "store/channels.hpp"
#include "store/postgres_connection.hpp"
#include "store/postgres_health.hpp"

namespace fleetward::store {

class PostgresListening {
 public:
  PostgresListening(const PostgresOptions& options, PostgresWatch& watch, PostgresHealth& health,
                    std::shared_ptr<Channels> channels);
  ~PostgresListening();  // after health.stop()
  PostgresListening(const PostgresListening&) = delete;
  PostgresListening& operator=(const PostgresListening&) = delete;

  // Waits for the server to know of a channel that is new, while it is there; else not, and listeners are woken later.
  void want(const std::string& channel);

 private:
  void run();
  Status look();  // one round: connect, listen to what is new, wait, pass on
  Status connect();
  Status subscribe();
  void wait();
  void lose(const Error& error);
  void wake();

  const PostgresOptions& options_;
  PostgresWatch& watch_;
  PostgresHealth& health_;
  const std::shared_ptr<Channels> channels_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> wanted_;
  std::set<std::string> active_;
  bool is_lost_ = false;                            // since then nothing has been heard
  std::unique_ptr<PostgresConnection> connection_;  // the thread's own
  int wake_fd_ = -1;
  std::thread thread_;
};

}  // namespace fleetward::store
