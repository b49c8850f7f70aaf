// Signals as something to wait for: SIGINT and SIGTERM ask the process to stop in good order; what SIGHUP means is the
// caller's to say.
//
// Make one in main before any thread starts: it blocks these signals for this thread and all that it starts later, and
// ignores SIGPIPE (a closed peer is an error value, not the end of the process). Its destructor unblocks them again.
// A process has at most one.
#pragma once

#include <csignal>

#include "core/time.hpp"

namespace fleetward::runtime {

class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // The signal that came, or 0 after request_stop(). From one thread at a time.
  int wait();
  // The same with a limit: -1 when the time was over first.
  int wait_for(Millis limit);
  // As if a signal had come. Thread-safe.
  void request_stop();
  // From now on SIGINT and SIGTERM end the process at once: for the second Ctrl-C while it is stopping.
  void let_next_signal_kill();

 private:
  sigset_t previous_{};
  int signal_fd_ = -1;
  int stop_fd_ = -1;
};

}  // namespace fleetward::runtime
