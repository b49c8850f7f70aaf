// The one Connection there is: a TCP socket with an optional TlsSession. Private to net.
#pragma once

#include "net/connection.hpp"
#include "net/poller.hpp"
#include "net/tls_session.hpp"

namespace fleetward::net {

class SocketConnection final : public Connection, public Poller::Client {
 public:
  SocketConnection(async::Scheduler& scheduler, Endpoint peer, ConnectionOptions options);
  ~SocketConnection() override;

  void use_tls(std::shared_ptr<const TlsContext> tls, TlsSession::Role role);
  void arm_handshake_timer();
  void start(int connected_fd);  // which is its own from now on
  // The same, but a PROXY header comes first: `done` hears of it, and whether it was good, before anything else
  // happens.
  void start_behind_proxy(int connected_fd, std::function<void(bool good)> done);
  void end(const Error& reason);
  std::function<void()> on_end;  // for who made it

  void on_ready(std::uint32_t events) override;
  void on_turn() override;
  void on_shutdown() override;

  void set_callbacks(Callbacks callbacks) override;
  void write(ByteView bytes) override;
  [[nodiscard]] bool can_write() const override { return state_ == State::open && !high_water_; }
  void pause_reading() override;
  void resume_reading() override;
  void close() override;
  void abort() override;
  [[nodiscard]] bool is_open() const override { return state_ == State::open; }
  [[nodiscard]] const Endpoint& peer() const override { return peer_; }

 private:
  enum class State {
    handshaking,
    open,
    closing,  // what is queued goes out, then the end
    ending,   // the end is on its way
    ended,
  };

  std::shared_ptr<SocketConnection> shared() { return std::static_pointer_cast<SocketConnection>(shared_from_this()); }
  [[nodiscard]] std::size_t queued() const { return out_.size() - out_sent_; }
  void opened(const TlsInfo& info);
  void advance_handshake();
  void forget_peer_later();
  bool take(int fd);
  void open_tls_or_plain();
  void begin_tls();
  void on_proxy_header(ByteView bytes);
  void hand_on(ByteView bytes);
  void on_readable();
  void on_ciphertext();
  void call_soon();
  void update_interest();
  void flush();
  void end_soon(Error reason);  // never from within a caller's own call

  async::Scheduler& scheduler_;
  Poller& poller_;
  int fd_ = -1;
  std::uint32_t interest_ = 0;  // as the poller knows it
  Endpoint peer_;
  ConnectionOptions options_;
  std::shared_ptr<const TlsContext> tls_context_;  // until the session begins
  std::unique_ptr<TlsSession> tls_;
  Callbacks callbacks_;
  State state_ = State::handshaking;
  struct AwaitedHeader {
    Bytes bytes;
    std::function<void(bool)> done;
  };
  std::unique_ptr<AwaitedHeader> header_;  // until the PROXY header is whole
  std::string out_;                        // ciphertext, or plain text without TLS
  std::size_t out_sent_ = 0;
  bool high_water_ = false;
  bool is_server_ = false;
  bool turn_asked_ = false;
  bool reading_paused_ = false;
  bool resumed_ = false;  // what had been decrypted in part before the pause is to be handed on
  bool socket_full_ = false;
  std::unique_ptr<Error> ending_for_;
  async::TimerId timer_ = async::no_timer;
};

}  // namespace fleetward::net
