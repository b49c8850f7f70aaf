// One end of a simulated connection. Private to the network.
#pragma once

#include "simulation/network.hpp"

namespace fleetward::simulation {

class SimConnection final : public net::Connection {
 public:
  SimConnection(SimNetwork& network, Loop& loop, net::Endpoint peer, std::uint64_t number)
      : network_(network), loop_(loop), peer_(std::move(peer)), number_(number) {}

  void set_callbacks(Callbacks callbacks) override { callbacks_ = std::move(callbacks); }
  void write(ByteView bytes) override;
  [[nodiscard]] bool can_write() const override { return state_ == State::open; }
  void pause_reading() override { paused_ = true; }
  void resume_reading() override;
  void close() override;
  void abort() override;
  [[nodiscard]] bool is_open() const override { return state_ == State::open; }
  [[nodiscard]] const net::Endpoint& peer() const override { return peer_; }

  // For the network.
  void arm_handshake(Millis limit);
  void opened(const net::TlsInfo& info);
  void end(const Error& why);
  void vanish();  // with its process, whose loop is dead
  net::PeerVerdict judge(ByteView certificate);
  // Runs `what` at this end when what was sent before it has arrived.
  void deliver(Millis late, std::function<void(SimConnection&)> what);
  [[nodiscard]] bool has_ended() const { return state_ == State::ended; }

  Loop& loop() { return loop_; }
  std::weak_ptr<SimConnection> other;
  bool is_server = false;
  bool is_half_open = false;
  Bytes client_certificate;
  std::shared_ptr<std::size_t> counted;  // by its listener

 private:
  enum class State { handshaking, open, closing, ending, ended };
  std::shared_ptr<SimConnection> shared() { return std::static_pointer_cast<SimConnection>(shared_from_this()); }
  void flush();
  void receive(ByteView bytes);
  void hand_on();
  void tell_other(const Error& why);

  SimNetwork& network_;
  Loop& loop_;
  net::Endpoint peer_;
  std::uint64_t number_;
  Callbacks callbacks_;
  State state_ = State::handshaking;
  std::string out_;
  std::string in_;
  bool flush_posted_ = false;
  bool paused_ = false;
  Instant last_arrival_{};
  async::TimerId timer_ = async::no_timer;
};

class SimListener final : public net::Listener {
 public:
  SimListener(SimNetwork& network, Loop& loop, net::Endpoint at, std::shared_ptr<const net::TlsContext> tls,
              Accepted accepted);
  ~SimListener() override { close(); }
  [[nodiscard]] std::uint16_t port() const override { return at_.port; }
  void set_tls(std::shared_ptr<const net::TlsContext> context) override { tls = std::move(context); }
  void close() override;
  [[nodiscard]] std::size_t connections() const override { return *count; }
  [[nodiscard]] std::uint64_t refused() const override { return 0; }

  Loop& loop;
  std::shared_ptr<const net::TlsContext> tls;
  Accepted accepted;
  std::shared_ptr<std::size_t> count = std::make_shared<std::size_t>(0);

 private:
  SimNetwork& network_;
  net::Endpoint at_;
};

}  // namespace fleetward::simulation
