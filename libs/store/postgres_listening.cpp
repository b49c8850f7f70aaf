#include "store/postgres_listening.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>

#include "log/log.hpp"

namespace fleetward::store {
namespace {

constexpr Millis subscribe_limit{2'000};
constexpr Millis look_every{5'000};
constexpr Millis pause_when_lost{100};

}  // namespace

PostgresListening::PostgresListening(const PostgresOptions& options, PostgresWatch& watch, PostgresHealth& health,
                                     std::shared_ptr<Channels> channels)
    : options_(options), watch_(watch), health_(health), channels_(std::move(channels)) {
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

PostgresListening::~PostgresListening() {
  wake();
  if (thread_.joinable()) thread_.join();
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

void PostgresListening::want(const std::string& channel) {
  std::unique_lock lock(mutex_);
  wanted_.insert(channel);
  if (active_.contains(channel)) return;
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { run(); });
    pthread_setname_np(thread_.native_handle(), "store-listen");
  }
  wake();
  changed_.wait_for(lock, subscribe_limit, [&] { return active_.contains(channel) || is_lost_; });
}

void PostgresListening::wake() {
  const std::uint64_t one = 1;
  // A counter that is full wakes as well: nothing to do then.
  if (::write(wake_fd_, &one, sizeof one) != sizeof one) log::debug("store_listening_woken_already", {});
}

void PostgresListening::run() {
  while (!health_.is_stopping()) {
    const Status looked = look();
    if (!looked) lose(looked.error());
  }
  connection_.reset();
}

Status PostgresListening::look() {
  if (const Status there = connect(); !there) return there;
  if (const Status heard = subscribe(); !heard) return heard;
  wait();
  const auto told = connection_->take_notifications();
  if (!told) return told.error();
  channels_->notify(*told);
  return {};
}

Status PostgresListening::connect() {
  if (connection_) return {};
  if (const Status now = health_.may_connect(); !now) return now;
  auto opened = PostgresConnection::open(options_, watch_);
  if (!opened) {
    health_.unreachable(opened.error());
    return opened.error();
  }
  health_.connected();
  connection_ = std::move(*opened);
  return {};
}

// What came before this is heard is not told: whoever listened before is woken to look.
Status PostgresListening::subscribe() {
  std::set<std::string> missing;
  bool was_lost = false;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& channel : wanted_) {
      if (!active_.contains(channel)) missing.insert(channel);
    }
    was_lost = is_lost_;
  }
  for (const std::string& channel : missing) {
    if (const Status listened = connection_->listen(channel); !listened) return listened;
  }
  if (was_lost) channels_->notify(missing);
  {
    const std::lock_guard lock(mutex_);
    active_.insert(missing.begin(), missing.end());
    is_lost_ = false;
  }
  changed_.notify_all();
  return {};
}

void PostgresListening::wait() {
  std::array<pollfd, 2> ends{{{connection_->socket(), POLLIN, 0}, {wake_fd_, POLLIN, 0}}};
  if (connection_->has_notifications()) return;
  if (::poll(ends.data(), ends.size(), static_cast<int>(look_every.count())) <= 0) return;
  std::uint64_t count = 0;
  if (ends[1].revents != 0 && ::read(wake_fd_, &count, sizeof count) != sizeof count)
    log::debug("store_listening_woken_already", {});
}

void PostgresListening::lose(const Error& error) {
  if (connection_) log::warn("store_listening_lost", {{"error", error.message}});
  connection_.reset();
  {
    const std::lock_guard lock(mutex_);
    active_.clear();
    is_lost_ = true;
  }
  changed_.notify_all();
  health_.pause(pause_when_lost);
}

}  // namespace fleetward::store
