#include "net/poller.hpp"

#include <boost/asio/post.hpp>
#include <utility>

namespace fleetward::net {

namespace asio = boost::asio;

asio::execution_context::id Poller::id;

Poller::Poller(asio::execution_context& context)
    : asio::execution_context::service(context),
      context_(static_cast<asio::io_context&>(context)),
      epoll_(context_, epoll_create1(EPOLL_CLOEXEC)) {}

Poller::~Poller() = default;

Poller& Poller::of(const async::Executor& executor) {
  return asio::use_service<Poller>(asio::query(executor, asio::execution::context));
}

void Poller::shutdown() {
  soon_.clear();
  const auto clients = std::exchange(clients_, {});  // their ends may still remove()
  for (const auto& [client, held] : clients) client->on_shutdown();
  boost::system::error_code ignored;
  epoll_.close(ignored);
}

bool Poller::add(int fd, std::uint32_t events, std::shared_ptr<Client> client) {
  epoll_event event{events, {client.get()}};
  if (epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, fd, &event) != 0) return false;
  clients_.emplace(client.get(), std::move(client));
  if (!is_waiting_) wait();
  return true;
}

void Poller::change(int fd, std::uint32_t events, Client& client) {
  epoll_event event{events, {&client}};
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::remove(int fd, Client& client) {
  if (clients_.erase(&client) == 0) return;
  epoll_event event{};
  epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, fd, &event);
  for (std::size_t i = event_; i < event_count_; ++i) {
    if (events_[i].data.ptr == &client) events_[i].data.ptr = nullptr;
  }
}

void Poller::wait() {
  is_waiting_ = true;
  epoll_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    is_waiting_ = false;
    if (error) return;
    tell();
    if (!clients_.empty()) wait();
  });
}

void Poller::tell() {
  const int n = epoll_wait(epoll_.native_handle(), events_.data(), static_cast<int>(events_.size()), 0);
  event_count_ = n < 0 ? 0 : static_cast<std::size_t>(n);
  for (event_ = 0; event_ < event_count_; ++event_) {
    const epoll_event event = events_[event_];
    if (event.data.ptr == nullptr) continue;
    static_cast<Client*>(event.data.ptr)->on_ready(event.events);
  }
  event_ = event_count_ = 0;
}

void Poller::call_soon(std::shared_ptr<Client> client) {
  soon_.push_back(std::move(client));
  if (soon_.size() == 1) asio::post(context_, [this] { run_turn(); });
}

void Poller::run_turn() {
  const auto turn = std::exchange(soon_, {});
  for (const auto& client : turn) client->on_turn();
}

}  // namespace fleetward::net
