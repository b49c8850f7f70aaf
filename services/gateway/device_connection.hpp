// One device's connection: TLS stream, MQTT session, and what the device is held to be. The gateway's thread.
#pragma once

#include "access/topic_policy.hpp"
#include "pki/certificate.hpp"
#include "services/gateway/state.hpp"

namespace fleetward::gateway {

class DeviceConnection final : public mqtt::ServerSession::Handler,
                               public Reporter,
                               public std::enable_shared_from_this<DeviceConnection> {
 public:
  // `number`: under which the gateway has it among its connections.
  DeviceConnection(std::shared_ptr<Gateway::State> gateway, std::shared_ptr<net::Connection> connection,
                   std::uint64_t number);

  void start();
  // DISCONNECT with the reason (a bare close in 3.1.1), then the end.
  void disconnect(std::uint8_t reason_code, std::string_view words);
  void resume_reading() {
    if (session_.paused_until()) return;  // it has a pause of its own
    session_.excuse_silence(gateway_->scheduler.steady_now());
    connection_->resume_reading();
  }
  void pause_reading() { connection_->pause_reading(); }
  void abort() { connection_->abort(); }
  [[nodiscard]] const std::string& thing() const { return thing_; }
  [[nodiscard]] const std::string& thing_id() const { return thing_id_; }
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  // It is no longer the session of its thing: whoever says so has told the counters.
  void end_session() { is_session_ = false; }
  [[nodiscard]] std::string address() const { return connection_->peer().host; }

  void on_connect(const mqtt::Connect& packet) override;
  void on_publish(const mqtt::Publish& packet) override;
  std::uint8_t on_subscribe(std::string_view filter, std::uint8_t qos) override;
  void on_unsubscribe(std::string_view) override {}
  void on_end(const mqtt::Failure& failure, bool by_client) override;
  void on_durable(const Receipt& receipt) override;

 private:
  net::PeerVerdict judge_unproven(ByteView leaf_der);
  net::PeerVerdict judge(const std::string& fingerprint, bool proven);
  void count_refused_certificate(std::string_view standing);
  bool identify(const net::TlsInfo& tls);
  bool identify_probe(const pki::CertificateInfo& leaf, const std::string& thing);
  void on_open(const net::TlsInfo& info);
  void on_data(ByteView bytes);
  void on_closed(const Error& why);
  void count_end(const Error& why);
  void pause_for_its_rate(mqtt::SteadyTime until);
  void go_on_after_pause();
  void pump();  // sends what the session has to say, ends the connection when the session has ended
  void answer_probe(const mqtt::Connect& packet);
  void admit(const std::string& assigned_client_id);
  void take_over();
  void refuse_publish(const mqtt::Publish& packet);
  void take_report(const mqtt::Publish& packet, access::TopicUse use);
  [[nodiscard]] bus::OutRecord record_of(const mqtt::Publish& packet, report::Encoding encoding) const;
  void reply(const std::string& topic, const std::string& text);
  void arm_deadline();
  void on_deadline();
  void end_handshake(bool succeeded);
  bool refuse_when_busy();

  std::shared_ptr<Gateway::State> gateway_;
  std::shared_ptr<net::Connection> connection_;
  const std::uint64_t number_;
  mqtt::ServerSession session_;
  std::string fingerprint_;
  std::string thing_;
  std::string thing_id_;
  bool is_probe_ = false;
  bool is_handshaking_ = true;  // and counted as such
  bool is_open_ = false;        // the handshake is done
  bool is_resumed_ = false;     // and took up an earlier session
  bool is_refused_ = false;     // and its refusal counted
  bool is_session_ = false;     // admitted, and the one of its thing
  bool closed_ = false;
  async::TimerId timer_ = async::no_timer;
  async::TimerId pause_timer_ = async::no_timer;
};

}  // namespace fleetward::gateway
