#include "connect/mqtt_client.hpp"

#include <algorithm>

namespace fleetward::connect {
namespace {

constexpr int doublings_max = 16;

}  // namespace

MqttClient::MqttClient(MqttClientConfig config, async::Scheduler& scheduler, crypto::Random& random,
                       Callbacks callbacks)
    : config_(std::move(config)), scheduler_(scheduler), random_(random), callbacks_(std::move(callbacks)) {}

MqttClient::~MqttClient() { stop(); }

void MqttClient::start() { open(); }

void MqttClient::open() {
  ++number_;
  why_.clear();
  net::Connection::Callbacks callbacks;
  const auto if_this = [weak = weak(), number = number_](auto call) {
    const auto self = weak.lock();
    if (self && self->number_ == number && !self->stopped_) call(*self);
  };
  callbacks.open = [if_this](const net::TlsInfo&) { if_this([](MqttClient& self) { self.begin_session(); }); };
  callbacks.data = [if_this](ByteView bytes) { if_this([bytes](MqttClient& self) { self.on_data(bytes); }); };
  callbacks.closed = [if_this](const Error& e) { if_this([&e](MqttClient& self) { self.on_closed(e); }); };
  connection_ = net::connect(scheduler_, config_.broker, config_.tls, std::move(callbacks));
}

void MqttClient::begin_session() {
  mqtt::ClientSession::Handler& handler = *this;
  session_ = std::make_unique<mqtt::ClientSession>(handler, config_.session, scheduler_.steady_now());
  if (paused_) connection_->pause_reading();
  pump();
}

void MqttClient::on_data(ByteView bytes) {
  if (!session_) return;
  session_->feed(bytes, scheduler_.steady_now());
  pump();
}

// What the session says goes out; when it is over, so is the connection.
void MqttClient::pump() {
  if (!session_ || !connection_) return;
  if (session_->has_output()) connection_->write(session_->take_output());
  if (session_->ended()) return connection_->close();
  arm();
}

void MqttClient::arm() {
  scheduler_.cancel(timer_);
  const auto due = session_->deadline();
  if (!due) return;
  const auto wait = std::chrono::duration_cast<Millis>(*due - scheduler_.steady_now()) + Millis(1);
  timer_ = scheduler_.call_after(std::max(wait, Millis(1)), [weak = weak(), number = number_] {
    const auto self = weak.lock();
    if (!self || self->number_ != number || self->stopped_ || !self->session_) return;
    const auto now = self->scheduler_.steady_now();
    // While nothing is read, silence is ours.
    if (self->paused_) self->session_->excuse_silence(now);
    self->session_->on_time(now);
    self->pump();
  });
}

void MqttClient::on_closed(const Error& error) {
  session_.reset();
  connection_.reset();
  again(why_.empty() ? error : Error(ErrorCode::unavailable, why_));
}

void MqttClient::again(const Error& why) {
  callbacks_.state(why);
  Millis pause = config_.pause_min;
  for (int i = 0; i < std::min(failures_, doublings_max) && pause < config_.pause_max; ++i) pause *= 2;
  pause = std::min(pause, config_.pause_max);
  ++failures_;
  // Between half of it and all: collectors that lost a broker together do not come back together.
  const auto half = static_cast<std::uint64_t>(pause.count()) / 2;
  const Millis wait(static_cast<std::int64_t>(half + random_.below(half + 1)));
  scheduler_.cancel(timer_);
  timer_ = scheduler_.call_after(wait, [weak = weak()] {
    const auto self = weak.lock();
    if (self && !self->stopped_) self->open();
  });
}

void MqttClient::on_ready(bool session_present) {
  failures_ = 0;
  callbacks_.ready(session_present);
  callbacks_.state({});
}

void MqttClient::on_publish(const mqtt::Publish& packet) { callbacks_.publish(packet, number_); }

void MqttClient::on_end(const mqtt::Failure& failure, bool) { why_ = failure.text; }

void MqttClient::acknowledge(std::uint64_t connection, std::uint16_t packet_id) {
  if (connection == number_ && session_) session_->acknowledge(packet_id);
}

void MqttClient::pause_reading() {
  if (!std::exchange(paused_, true) && connection_) connection_->pause_reading();
}

void MqttClient::resume_reading() {
  if (!std::exchange(paused_, false)) return;
  if (session_) session_->excuse_silence(scheduler_.steady_now());
  if (connection_) connection_->resume_reading();
}

void MqttClient::stop() {
  if (std::exchange(stopped_, true)) return;
  scheduler_.cancel(timer_);
  if (session_) session_->disconnect();
  if (session_ && connection_ && session_->has_output()) connection_->write(session_->take_output());
  if (connection_) connection_->close();
  session_.reset();
  connection_.reset();
}

}  // namespace fleetward::connect
