// The one Connection there is: a TCP socket with an optional TlsSession. Private to net.
#pragma once

#include <boost/asio/ip/tcp.hpp>

#include "net/connection.hpp"
#include "net/tls_session.hpp"

namespace fleetward::net {

class SocketConnection final : public Connection {
 public:
  SocketConnection(async::Scheduler& scheduler, boost::asio::ip::tcp::socket socket, Endpoint peer,
                   ConnectionOptions options);
  ~SocketConnection() override;

  void use_tls(std::shared_ptr<const TlsContext> tls, TlsSession::Role role);
  void arm_handshake_timer();
  void start();  // the socket is connected
  // The same, but a PROXY header comes first: `done` hears of it, and whether it was good, before anything else
  // happens.
  void start_behind_proxy(std::function<void(bool good)> done);
  void end(const Error& reason);
  boost::asio::ip::tcp::socket& socket() { return socket_; }
  std::function<void()> on_end;  // for the listener's count

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
  void prepare_socket();
  void on_proxy_header(ByteView bytes);
  void hand_on(ByteView bytes);
  void wait_readable();
  void on_readable();
  void on_ciphertext();
  void flush();
  void end_soon(Error reason);  // never from within a caller's own call

  async::Scheduler& scheduler_;
  boost::asio::ip::tcp::socket socket_;
  Endpoint peer_;
  ConnectionOptions options_;
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
  bool flush_posted_ = false;
  bool reading_paused_ = false;
  bool waiting_readable_ = false;
  bool waiting_writable_ = false;
  async::TimerId timer_ = async::no_timer;
};

}  // namespace fleetward::net
