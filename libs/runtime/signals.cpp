#include "runtime/signals.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace fleetward::runtime {
namespace {

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

Signals::Signals() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, &previous_);
  std::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (signal_fd_ < 0 || stop_fd_ < 0) std::abort();  // no file descriptors at the very start: nothing can work
}

Signals::~Signals() {
  close(signal_fd_);
  close(stop_fd_);
  pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
}

int Signals::wait() {
  int got = -1;
  while (got < 0) got = wait_for(Millis(60'000));
  return got;
}

int Signals::wait_for(Millis limit) {
  std::array<pollfd, 2> fds{{{signal_fd_, POLLIN, 0}, {stop_fd_, POLLIN, 0}}};
  const int ready = poll(fds.data(), fds.size(), static_cast<int>(limit.count()));
  if (ready <= 0) return -1;
  if ((fds[0].revents & POLLIN) != 0) {
    signalfd_siginfo info{};
    if (read(signal_fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info))
      return static_cast<int>(info.ssi_signo);
    return -1;
  }
  std::uint64_t count = 0;
  return read(stop_fd_, &count, sizeof count) == static_cast<ssize_t>(sizeof count) ? 0 : -1;
}

void Signals::request_stop() {
  const std::uint64_t one = 1;
  // Fails only when the counter is full: then a stop is asked for already.
  if (write(stop_fd_, &one, sizeof one) < 0 && errno != EAGAIN) std::abort();
}

void Signals::let_next_signal_kill() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace fleetward::runtime
