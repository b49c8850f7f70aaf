// The server's side of one MQTT connection as a state machine: bytes and time in, bytes and calls out. No socket, no
// clock.
//
// The owner feeds what it read, sends what take_output() gives, and closes the connection when ended() is true after
// that. Decisions (who may connect, publish, subscribe) are the Handler's; calls come from within feed().
//
// Server of Maximum QoS 1 without kept sessions (session present is always 0), retained messages, wildcard or shared
// subscriptions, topic aliases. A QoS 2 publish ends the connection as section 3.2.2.3.4 says: DISCONNECT 0x9B in 5, a
// close in 3.1.1. PUBACKs go out in the order in which the publishes came (section 4.6), whenever they are
// acknowledged.
//
// Limits: SessionLimits. One thread.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <string>

#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"

namespace fleetward::mqtt {

struct SessionLimits {
  std::size_t packet_bytes_max = (128 << 10) + 1024;  // a report of 128 KiB and its header
  std::uint16_t receive_maximum = 64;                 // unacknowledged QoS 1 publishes that a client may have under way
  std::size_t unacknowledged_max_311 = 1024;          // 3.1.1 cannot be told of a maximum: ample, then the end
  std::uint16_t keep_alive_seconds_max = 1200;        // a client that asks for more, or for none, gets this
  std::size_t subscriptions_max = 50;
  std::size_t outbound_max = 64;  // messages to the client that wait or are unacknowledged
};

using Seconds = std::chrono::duration<double>;
using SteadyTime = std::chrono::nanoseconds;

class ServerSession {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // Answer with accept() or refuse(), now or later; nothing else is read meanwhile.
    virtual void on_connect(const Connect& packet) = 0;
    // A publish: QoS 1 ones are to be answered with acknowledge(), now or later, in any order.
    virtual void on_publish(const Publish& packet) = 0;
    // The reason code of one filter: success (QoS 0), granted_qos_1, or a refusal.
    virtual std::uint8_t on_subscribe(std::string_view filter, std::uint8_t qos) = 0;
    virtual void on_unsubscribe(std::string_view filter) = 0;
    // The client said goodbye, or was refused for what it sent (`failure` then says why).
    virtual void on_end(const Failure& failure, bool by_client) = 0;
  };

  ServerSession(Handler& handler, SessionLimits limits, SteadyTime now);

  void feed(ByteView bytes, SteadyTime now);
  // Ends the session when the client has been silent for 1.5 times its keep-alive.
  void on_time(SteadyTime now);
  // When on_time() has something to do next.
  [[nodiscard]] std::optional<SteadyTime> deadline() const;

  void accept(std::vector<std::pair<std::string, std::string>> user_properties = {});
  // CONNACK with the code (mapped in 3.1.1), then the end.
  void refuse(std::uint8_t reason_code, std::vector<std::pair<std::string, std::string>> user_properties = {});
  void acknowledge(std::uint16_t packet_id, std::uint8_t reason_code = reason::success);
  // QoS as subscribed; false when the client has no such subscription, or too much waits for it already.
  bool publish(std::string_view topic, std::string_view payload);
  // DISCONNECT in 5 (CONNACK when it was not connected yet), a bare close in 3.1.1.
  void disconnect(std::uint8_t reason_code, std::string_view words = {});

  [[nodiscard]] std::string take_output() { return std::exchange(output_, {}); }
  [[nodiscard]] bool has_output() const { return !output_.empty(); }
  [[nodiscard]] bool ended() const { return state_ == State::ended; }
  [[nodiscard]] bool connected() const { return state_ == State::connected; }
  [[nodiscard]] Version version() const { return version_; }
  [[nodiscard]] bool is_subscribed(std::string_view topic) const;
  [[nodiscard]] std::size_t unacknowledged() const { return inbound_.size(); }

 private:
  enum class State { waiting_for_connect, deciding, connected, ended };
  struct Inbound {
    std::uint16_t packet_id = 0;
    std::optional<std::uint8_t> reason_code;  // once it is acknowledged
  };
  struct Outbound {
    std::string topic;
    std::string payload;
  };

  void handle(const Frame& frame);
  void handle_connect(const Frame& frame);
  void handle_publish(const Frame& frame);
  void handle_subscribe(const Frame& frame);
  void handle_unsubscribe(const Frame& frame);
  void handle_acknowledgement(const Frame& frame);
  void handle_disconnect(const Frame& frame);
  std::uint8_t subscribe(std::string_view filter, std::uint8_t qos);
  void flush_acknowledgements();
  void flush_outbound();
  void fail(const Failure& failure);
  void end(const Failure& failure, bool by_client);

  Handler& handler_;
  SessionLimits limits_;
  State state_ = State::waiting_for_connect;
  Version version_ = Version::v311;
  std::uint16_t keep_alive_seconds_ = 0;
  bool keep_alive_was_changed_ = false;
  bool problem_information_ = true;
  std::uint16_t client_receive_maximum_ = 65'535;
  std::uint32_t client_packet_bytes_max_ = 0;  // 0: any
  SteadyTime last_heard_;
  Bytes buffer_;
  std::string output_;
  bool feeding_ = false;
  std::deque<Inbound> inbound_;
  std::map<std::string, std::uint8_t, std::less<>> subscriptions_;
  std::deque<Outbound> outbound_waiting_;
  std::map<std::uint16_t, bool> outbound_unacknowledged_;
  std::uint16_t next_packet_id_ = 1;
};

}  // namespace fleetward::mqtt
