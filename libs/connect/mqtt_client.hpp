// Reads from an operator's MQTT 5 broker, for ever: connects, subscribes, hands publishes on, connects again.
//
// A publish of QoS 1 is acknowledged when the owner says so; until then the broker keeps it, and sends at most
// receive_maximum of them. What was not acknowledged when a connection ends comes again on the next one, marked (DUP),
// so an acknowledgement counts only on the connection that brought the publish: each has a number of its own.
//
// Lives on its scheduler; callbacks run there, and never after stop(). After a failure it waits a growing, drawn pause
// (pause_min to pause_max) that starts anew once it was ready. Limits: those of mqtt::ClientOptions; the owner stops
// the reading with pause_reading() when it has too much.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "crypto/random.hpp"
#include "mqtt/client_session.hpp"
#include "net/connection.hpp"

namespace fleetward::connect {

struct MqttClientConfig {
  net::Endpoint broker;
  std::shared_ptr<const net::TlsContext> tls;  // nullptr: plain
  mqtt::ClientOptions session;
  Millis pause_min{500};
  Millis pause_max{30'000};
};

class MqttClient : public std::enable_shared_from_this<MqttClient>, private mqtt::ClientSession::Handler {
 public:
  struct Callbacks {
    std::function<void(const mqtt::Publish&, std::uint64_t connection)> publish;
    // It is connected and subscribed; whether the broker has kept the session, and sends again what was not
    // acknowledged.
    std::function<void(bool session_present)> ready;
    // Good: it is connected and subscribed. Else why it is not (any more).
    std::function<void(const Status&)> state;
  };

  // `scheduler` and `random` outlive it.
  MqttClient(MqttClientConfig config, async::Scheduler& scheduler, crypto::Random& random, Callbacks callbacks);
  ~MqttClient() override;
  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  void start();
  // Says goodbye. The session at the broker is kept.
  void stop();
  // Of a publish of that connection; of an earlier one it is passed over.
  void acknowledge(std::uint64_t connection, std::uint16_t packet_id);
  // Acknowledgements go out together: after the last one.
  void flush() { pump(); }
  // Over the Receive Maximum the owner should stop reading.
  [[nodiscard]] std::size_t unacknowledged() const { return session_ ? session_->unacknowledged() : 0; }
  void pause_reading();
  void resume_reading();

 private:
  void on_ready(bool session_present) override;
  void on_publish(const mqtt::Publish& packet) override;
  void on_end(const mqtt::Failure& failure, bool by_server) override;

  void open();
  void begin_session();
  void on_data(ByteView bytes);
  void on_closed(const Error& error);
  void pump();
  void arm();
  void again(const Error& why);
  [[nodiscard]] std::weak_ptr<MqttClient> weak() { return weak_from_this(); }

  MqttClientConfig config_;
  async::Scheduler& scheduler_;
  crypto::Random& random_;
  Callbacks callbacks_;
  std::shared_ptr<net::Connection> connection_;
  std::unique_ptr<mqtt::ClientSession> session_;
  std::uint64_t number_ = 0;  // of the connection
  int failures_ = 0;          // since it was ready
  std::string why_;           // the session ended
  bool paused_ = false;
  bool stopped_ = false;
  async::TimerId timer_ = async::no_timer;
};

}  // namespace fleetward::connect
