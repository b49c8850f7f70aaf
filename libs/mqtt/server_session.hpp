// The server's side of one MQTT connection as a state machine: bytes and time in, bytes and calls out. No socket, no
// clock.
//
// The owner feeds what it read, sends what take_output() gives, and closes the connection when ended() is true after
// that. Decisions (who may connect, publish, subscribe) are the Handler's; calls come from within feed().
//
// A server that takes all three QoS from clients and therefore announces no Maximum QoS (section 3.2.2.3.4): who sends
// with QoS 2 is served, instead of being cut off (3.1.1 could not even be told). It sends with QoS 1 at most and grants
// that. Sessions end with their connection (session present 0, Session Expiry Interval 0): exactly once holds on it.
// No retained messages, no wildcard, shared or identified subscriptions, no enhanced authentication; each is announced
// and answered with its code. Acknowledgements keep the order of the publishes (section 4.6).
//
// Limits: SessionLimits; each is answered with its reason code in 5 and a close in 3.1.1. But for the rates: in 5 a
// client is told that it sends too much (0x96, 0x97) and can slow down. In 3.1.1 nobody can tell it, and after a close
// it would connect and send the same again, for ever without an acknowledgement: there it is not read until its rate
// allows (paused_until). One thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "mqtt/decode.hpp"
#include "mqtt/encode.hpp"
#include "mqtt/inbound_publishes.hpp"
#include "mqtt/outbound_publishes.hpp"
#include "mqtt/token_bucket.hpp"
#include "mqtt/topic_aliases.hpp"
#include "mqtt/will.hpp"

namespace fleetward::mqtt {

struct SessionLimits {
  std::size_t packet_bytes_max = (128 << 10) + 1024;  // 0x95: a report of 128 KiB and its header
  std::size_t connect_bytes_max = 16 << 10;           // 0x95: before anything is known of the client
  std::uint16_t receive_maximum = 64;                 // 0x93: QoS 1 and 2 publishes that a client may have under way
  std::size_t unacknowledged_max_311 = 1024;          // 3.1.1 cannot be told of a maximum: ample, then the end
  std::uint16_t topic_alias_maximum = 8;              // 0x94
  std::size_t topic_bytes_max = 1024;  // 0x90; 0x8F for a filter. It bounds what aliases and subscriptions hold
  std::uint16_t keep_alive_seconds_max = 1200;  // a client that asks for more, or for none, gets this
  std::size_t subscriptions_max = 50;           // 0x97
  std::size_t outbound_max = 64;                // messages to the client that wait or are unacknowledged
  Rate messages{100, 200};                      // 0x96, a pause in 3.1.1: PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ
  Rate bytes{512 << 10, 1 << 20};               // 0x97, a pause in 3.1.1: whatever it sends
};

using Seconds = std::chrono::duration<double>;

class ServerSession {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    // Answer with accept() or refuse(), now or later; nothing else is read meanwhile. An empty client identifier is to
    // be replaced (Acceptance) or refused.
    virtual void on_connect(const Connect& packet) = 0;
    // A publish: QoS 1 and 2 ones are to be answered with acknowledge(), now or later, in any order. One of QoS 2 is
    // told once, however often the client repeats it.
    virtual void on_publish(const Publish& packet) = 0;
    // The reason code of one filter: success (QoS 0), granted_qos_1, or a refusal.
    virtual std::uint8_t on_subscribe(std::string_view filter, std::uint8_t qos) = 0;
    virtual void on_unsubscribe(std::string_view filter) = 0;
    // The client said goodbye, or was refused for what it sent (`failure` then says why).
    virtual void on_end(const Failure& failure, bool by_client) = 0;
  };
  using UserProperties = std::vector<std::pair<std::string, std::string>>;

  ServerSession(Handler& handler, const SessionLimits& limits, SteadyTime now);

  void feed(ByteView bytes, SteadyTime now);
  // Ends the session when no packet came for 1.5 times its keep-alive (section 3.1.2.10).
  void on_time(SteadyTime now);
  // The owner did not read for a while: that was not the client's silence.
  void excuse_silence(SteadyTime now) { last_heard_ = now; }
  // Set while the client sends more than its rate: read nothing, and feed nothing but an empty view, until then. What
  // is fed all the same is kept, up to twice the largest packet.
  [[nodiscard]] std::optional<SteadyTime> paused_until() const { return paused_until_; }
  // When on_time() has something to do next.
  [[nodiscard]] std::optional<SteadyTime> deadline() const;

  // CONNACK (section 3.2). `assigned_client_id`: for a client that gave none (section 3.2.2.3.7).
  void accept(UserProperties user_properties = {}, std::string_view assigned_client_id = {});
  // CONNACK with the code (mapped in 3.1.1), then the end.
  void refuse(std::uint8_t reason_code, UserProperties user_properties = {}, std::string_view words = {});
  // PUBACK or PUBREC as its QoS wants (sections 3.4, 3.5), when its turn has come. `words` go along in 5 with a
  // refusal, unless the client does not want them (section 3.1.2.11.7).
  void acknowledge(std::uint16_t packet_id, std::uint8_t reason_code = reason::success, std::string_view words = {});
  // QoS as subscribed; false when the client has no such subscription, or too much waits for it already.
  bool publish(std::string_view topic, std::string_view payload);
  // DISCONNECT in 5 (section 3.14; CONNACK when it was not connected yet), a bare close in 3.1.1 and before a CONNECT,
  // which alone says in what version an answer would be read.
  void disconnect(std::uint8_t reason_code, std::string_view words = {});

  [[nodiscard]] std::string take_output() { return std::exchange(output_, {}); }
  [[nodiscard]] bool has_output() const { return !output_.empty(); }
  [[nodiscard]] bool ended() const { return state_ == State::ended; }
  [[nodiscard]] bool connected() const { return state_ == State::connected; }
  [[nodiscard]] bool waits_for_connect() const { return state_ == State::waiting_for_connect; }
  [[nodiscard]] Version version() const { return version_; }
  [[nodiscard]] bool is_subscribed(std::string_view topic) const { return subscriptions_.contains(topic); }
  [[nodiscard]] std::size_t unacknowledged() const { return inbound_.under_way(); }
  // The Will that the client left (section 3.1.2.5); nullptr: none, or the CONNECT was not accepted.
  [[nodiscard]] const StoredWill* will() const { return was_accepted_ ? will_.get() : nullptr; }
  // For will_decision(). As long as nobody ended the session: the network did.
  [[nodiscard]] const Ending& ending() const { return ending_; }

 private:
  enum class State { waiting_for_connect, deciding, connected, ended };

  // ---- server_session.cpp
  void handle(const Frame& frame);
  void handle_connect(const Frame& frame);
  void handle_auth(const Frame& frame);
  void handle_disconnect(const Frame& frame);
  bool take_message();
  bool take_bytes(std::size_t count);
  bool must_wait(const Frame& frame);
  [[nodiscard]] bool fits(std::string_view packet) const {
    return client_packet_bytes_max_ == 0 || packet.size() <= client_packet_bytes_max_;
  }
  void send_connack(ConnackOptions options);
  void fail(const Failure& failure);
  // ---- server_session_packets.cpp
  void handle_publish(const Frame& frame);
  void handle_subscribe(const Frame& frame);
  void handle_unsubscribe(const Frame& frame);
  void handle_acknowledgement(const Frame& frame);
  bool refuses_whole(const Subscribe& packet);
  std::uint8_t subscribe(const SubscriptionRequest& request);
  std::uint8_t unsubscribe(std::string_view filter);
  void send_receipt(const InboundPublishes::Answer& answer);
  void send_codes(const std::string& packet);
  void flush_acknowledgements();
  void flush_outbound();

  Handler& handler_;
  SessionLimits limits_;
  State state_ = State::waiting_for_connect;
  Version version_ = Version::v311;
  std::uint16_t keep_alive_seconds_ = 0;
  bool keep_alive_was_changed_ = false;
  bool asked_for_session_expiry_ = false;
  bool wants_reasons_ = true;  // Request Problem Information
  bool was_accepted_ = false;
  bool feeding_ = false;
  std::uint32_t client_packet_bytes_max_ = 0;  // 0: any
  SteadyTime now_;
  SteadyTime last_heard_;  // the last whole packet
  std::optional<SteadyTime> paused_until_;
  Bytes buffer_;
  std::string output_;
  TokenBucket messages_, bytes_;
  InboundPublishes inbound_;
  OutboundPublishes outbound_;
  TopicAliases aliases_;
  std::map<std::string, std::uint8_t, std::less<>> subscriptions_;
  std::unique_ptr<StoredWill> will_;
  Ending ending_;
};

}  // namespace fleetward::mqtt
