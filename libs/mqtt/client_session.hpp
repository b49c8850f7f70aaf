// The client's side of one MQTT 5 connection that only receives: it subscribes, is given publishes of QoS 0 and 1, and
// acknowledges those of QoS 1 when its owner says so, which may be long after. No socket, no clock.
//
// The owner feeds what it read, sends what take_output() gives, and closes the connection when ended() is true after
// that. Calls come from within feed(), on_time() and disconnect(). The session at the server outlives the connection
// (Clean Start off, Session Expiry Interval): what was not acknowledged comes again. Acknowledgements keep the order of
// the publishes (section 4.6).
//
// Limits: ClientOptions; a server that goes beyond one is cut off with its reason code. But for the Receive Maximum:
// Mosquitto (2.0.11) sends more when a session is taken up again, and to cut it off would only have it do so again. Who
// has more than that unacknowledged reads no further until he has less; at most there are as many as there are packet
// identifiers. One thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/inbound_publishes.hpp"
#include "mqtt/token_bucket.hpp"

namespace fleetward::mqtt {

struct ClientOptions {
  std::string client_id;
  std::optional<std::string> username, password;
  std::vector<std::string> filters;       // $share/GROUP/FILTER among them
  std::uint16_t keep_alive_seconds = 30;  // or less, where the server wants it; not 0
  std::uint32_t session_expiry_seconds = 3'600;
  std::uint16_t receive_maximum = 200;  // announced: publishes of QoS 1 that are not acknowledged yet
  std::uint32_t packet_bytes_max = 256 << 10;
  std::chrono::seconds ready_limit{15};  // from the CONNECT to the last SUBACK
  std::chrono::seconds ping_limit{15};   // from a PINGREQ until something is heard
};

class ClientSession {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // Connected, and every filter is granted with QoS 1. Publishes of a session that was kept may have come before.
    virtual void on_ready(bool session_present) = 0;
    // One of QoS 1 is to be answered with acknowledge(), now or later, in any order.
    virtual void on_publish(const Publish& packet) = 0;
    // Once. `by_server`: it said so, or refused us; else it broke a rule, or was silent.
    virtual void on_end(const Failure& failure, bool by_server) = 0;
  };

  ClientSession(Handler& handler, ClientOptions options, SteadyTime now);

  void feed(ByteView bytes, SteadyTime now);
  // Sends a PINGREQ when it is time (section 3.1.2.10), ends the session when a server does not answer.
  void on_time(SteadyTime now);
  // When on_time() has something to do next.
  [[nodiscard]] std::optional<SteadyTime> deadline() const;
  // The owner did not read for a while: that was not the server's silence.
  void excuse_silence(SteadyTime now);

  void acknowledge(std::uint16_t packet_id);
  // DISCONNECT (section 3.14); the session at the server is kept.
  void disconnect();

  [[nodiscard]] std::string take_output() { return std::exchange(output_, {}); }
  [[nodiscard]] bool has_output() const { return !output_.empty(); }
  [[nodiscard]] bool ended() const { return state_ == State::ended; }
  [[nodiscard]] bool ready() const { return state_ == State::ready; }
  [[nodiscard]] std::size_t unacknowledged() const { return inbound_.under_way(); }

 private:
  enum class State { connecting, subscribing, ready, ended };

  void handle(const Frame& frame);
  void handle_connack(const Frame& frame);
  void handle_suback(const Frame& frame);
  void handle_publish(const Frame& frame);
  void handle_disconnect(const Frame& frame);
  void subscribe();
  void fail(const Failure& failure);
  void end(const Failure& failure, bool by_server);
  [[nodiscard]] SteadyTime ping_at() const;

  Handler& handler_;
  ClientOptions options_;
  State state_ = State::connecting;
  bool session_present_ = false;
  bool feeding_ = false;
  std::size_t granted_ = 0;
  SteadyTime started_;
  SteadyTime pinged_{0};  // of the PINGREQ that nothing has answered yet; 0: none
  SteadyTime last_sent_;
  SteadyTime now_;
  Bytes buffer_;
  std::string output_;
  InboundPublishes inbound_;
};

}  // namespace fleetward::mqtt
