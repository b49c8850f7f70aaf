// Readiness of many sockets by one epoll instance a scheduler. Private to net.
//
// Asio asks the kernel anew (epoll_ctl, a queued operation, an allocation) for each wait on each socket; a connection
// that carries one message at a time pays that for every message. Here a socket is registered once, and Asio waits for
// the epoll descriptor alone. Level-triggered: what is not read is told again. Scheduler's thread only; a service of
// its execution context, which holds the clients until they are removed or the context ends.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <unordered_map>
#include <vector>

#include "async/task.hpp"

namespace fleetward::net {

class Poller final : public boost::asio::execution_context::service {
 public:
  class Client {
   public:
    virtual ~Client() = default;
    // `events` of epoll: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP. One that removes itself meanwhile keeps itself alive.
    virtual void on_ready(std::uint32_t events) = 0;
    // As asked for by call_soon().
    virtual void on_turn() = 0;
    // The scheduler ends, and nothing is told any more: lets go of who may hold it in turn.
    virtual void on_shutdown() = 0;
  };

  static boost::asio::execution_context::id id;
  explicit Poller(boost::asio::execution_context& context);
  ~Poller() override;
  static Poller& of(const async::Executor& executor);

  // False: the kernel takes no more of them (errno says why).
  bool add(int fd, std::uint32_t events, std::shared_ptr<Client> client);
  void change(int fd, std::uint32_t events, Client& client);
  // Nothing more is told to the client. Before the descriptor is closed.
  void remove(int fd, Client& client);
  // on_turn() once this turn of the loop is over, removed or not.
  void call_soon(std::shared_ptr<Client> client);

 private:
  static constexpr std::size_t events_a_turn = 256;

  void shutdown() override;
  void wait();
  void tell();
  void run_turn();

  boost::asio::io_context& context_;
  boost::asio::posix::stream_descriptor epoll_;
  std::unordered_map<Client*, std::shared_ptr<Client>> clients_;
  std::array<epoll_event, events_a_turn> events_{};
  std::size_t event_ = 0;  // the one that is being told, of
  std::size_t event_count_ = 0;
  std::vector<std::shared_ptr<Client>> soon_;
  bool is_waiting_ = false;
};

}  // namespace fleetward::net
