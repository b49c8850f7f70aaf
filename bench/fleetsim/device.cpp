#include "device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "crypto/digest.hpp"

namespace fleetsim {

using fleetward::ByteView;
using fleetward::Error;
using fleetward::Result;
using fleetward::json::Value;
namespace net = fleetward::net;

namespace {

constexpr std::uint16_t accepted_packet_id = 1;
constexpr std::uint16_t rejected_packet_id = 2;
constexpr std::int64_t report_packet_ids = 65'000;  // reports use ids from 3 on
constexpr Millis tick_max{25'000};                  // half the keep-alive: then at least a ping

std::string reports_topic(const std::string& thing) {
  return fmt::format("$aws/things/{}/defender/metrics/json", thing);
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return {fleetward::ErrorCode::not_found, path + ": cannot be read"};
  return text.str();
}

std::uint16_t packet_id_of(std::int64_t report_id) {
  return static_cast<std::uint16_t>(3 + report_id % report_packet_ids);
}

}  // namespace

Device::Device(Fleet& fleet, Identity identity, std::size_t index)
    : fleet_(fleet),
      identity_(std::move(identity)),
      maker_({fleet.options().seed, fleet.options().custom_metric}, identity_.thing, index),
      wire_(index % 2 == 1 ? fleetward::mqtt::Version::v5 : fleetward::mqtt::Version::v311),
      backoff_(fleet.options().backoff_min),
      next_report_id_(fleet.options().first_report_id) {}

Device::~Device() {
  fleet_.scheduler().cancel(timer_);
  if (connection_ == nullptr) return;
  connection_->set_callbacks({});
  connection_->abort();
}

void Device::start(Millis delay) { set_timer(delay, &Device::connect); }

void Device::set_timer(Millis delay, void (Device::*what)()) {
  fleet_.scheduler().cancel(timer_);
  timer_ = fleet_.scheduler().call_after(delay, [this, what] {
    timer_ = fleetward::async::no_timer;
    (this->*what)();
  });
}

void Device::connect() {
  if (fleet_.stopping()) return;
  const Result<std::string> certificate = read_text(identity_.certificate_file);
  const Result<std::string> key = read_text(identity_.key_file);
  if (!certificate || !key) {
    fleet_.write_event(
        {{"event", "unusable"}, {"thing", thing()}, {"why", (certificate ? key : certificate).error().message}});
    return;
  }
  auto tls = net::TlsContext::for_client({.ca_pem = fleet_.ca_pem(),
                                          .certificate_chain_pem = *certificate,
                                          .private_key_pem = *key,
                                          .server_name = fleet_.options().host});
  if (!tls) {
    fleet_.write_event({{"event", "unusable"}, {"thing", thing()}, {"why", tls.error().message}});
    return;
  }
  state_ = State::connecting;
  wire_.reset();
  goodbye_code_.reset();
  connection_ = net::connect(fleet_.scheduler(), {fleet_.options().host, fleet_.options().port}, *tls,
                             {.open = [this](const net::TlsInfo&) { on_open(); },
                              .data = [this](ByteView bytes) { on_data(bytes); },
                              .closed = [this](const Error& error) { on_closed(error); }});
}

void Device::on_open() {
  state_ = State::greeting;
  connection_->write(wire_.connect(thing()));
}

void Device::on_data(ByteView bytes) {
  const auto read = wire_.feed(bytes, [this](const WireMessage& message) { on_message(message); });
  if (read.ok()) return;
  fleet_.write_event({{"event", "protocol_error"}, {"thing", thing()}, {"why", read.error().message}});
  if (connection_ != nullptr) connection_->abort();
}

void Device::on_message(const WireMessage& message) {
  if (connection_ == nullptr) return;  // it was closed by the message before, in the same bytes
  switch (message.kind) {
    case WireMessage::Kind::connack:
      on_connack(message);
      break;
    case WireMessage::Kind::publish:
      on_reply(message);
      break;
    case WireMessage::Kind::disconnect:
      goodbye_code_ = message.reason_code;
      break;
    case WireMessage::Kind::puback:
      if (!pending_ || packet_id_of(pending_->report_id) != message.packet_id) break;
      if (message.reason_code < 0x80) {
        ++fleet_.count().acknowledged;
        fleet_.write_acknowledged(thing(), pending_->report_id);
      } else {
        ++fleet_.count().not_acknowledged;
        fleet_.write_event({{"event", "not_acknowledged"},
                            {"thing", thing()},
                            {"report_id", pending_->report_id},
                            {"reason_code", message.reason_code}});
      }
      pending_.reset();
      break;
    case WireMessage::Kind::other:
      break;
  }
}

void Device::on_connack(const WireMessage& message) {
  if (message.reason_code != 0) {
    ++fleet_.count().refused;
    fleet_.write_event({{"event", "refused"}, {"thing", thing()}, {"code", message.reason_code}});
    goodbye_code_ = message.reason_code;
    if (connection_ != nullptr) connection_->close();
    return;
  }
  if (was_connected_) fleet_.write_event({{"event", "reconnected"}, {"thing", thing()}});
  was_connected_ = true;
  state_ = State::running;
  backoff_ = fleet_.options().backoff_min;
  ++fleet_.count().connected;
  ++fleet_.count().connects;
  connection_->write(wire_.subscribe(accepted_packet_id, reports_topic(thing()) + "/accepted"));
  connection_->write(wire_.subscribe(rejected_packet_id, reports_topic(thing()) + "/rejected"));
  if (pending_) publish_pending(true);
  set_timer(first_delay(), &Device::send_report);
}

void Device::on_reply(const WireMessage& message) {
  if (message.topic.ends_with("/accepted")) ++fleet_.count().accepted;
  if (!message.topic.ends_with("/rejected")) return;
  ++fleet_.count().rejected;
  const auto reply = fleetward::json::parse(message.payload);
  fleet_.write_event(
      {{"event", "rejected"}, {"thing", thing()}, {"reply", reply ? *reply : Value(std::string(message.payload))}});
}

void Device::on_closed(const Error& error) {
  connection_.reset();
  const State before = state_;
  state_ = State::idle;
  fleet_.scheduler().cancel(timer_);
  timer_ = fleetward::async::no_timer;
  if (before == State::running) --fleet_.count().connected;
  if (fleet_.stopping()) return;
  Value event = {{"thing", thing()}, {"why", fleetward::printable(error.message)}};
  if (before == State::running) {
    ++fleet_.count().disconnected;
    event["event"] = "disconnected";
    event["reason_code"] = goodbye_code_ ? Value(*goodbye_code_) : Value();
    fleet_.write_event(std::move(event));
  } else if (!goodbye_code_) {  // else the CONNACK was told already
    // Before CONNACK: TLS 1.3 tells a client that its certificate is refused only after its own handshake is done.
    const bool was_open = before == State::greeting;
    ++(was_open ? fleet_.count().refused : fleet_.count().unreachable);
    event["event"] = was_open ? "refused" : "unreachable";
    event["code"] = Value();
    fleet_.write_event(std::move(event));
  }
  come_back_later();
}

void Device::come_back_later() {
  const Millis delay = backoff_;
  backoff_ = std::min(backoff_ * 2, fleet_.options().backoff_max);
  set_timer(delay, &Device::connect);
}

// Spread over the interval, the same for the same seed and thing.
Millis Device::first_delay() const {
  const auto digest = fleetward::crypto::sha256(fmt::format("{}/{}/phase", fleet_.options().seed, thing()));
  const std::int64_t share = digest[0] << 8 | digest[1];
  return Millis(fleet_.options().interval.count() * share / 65'536);
}

void Device::tick() {
  since_report_ += std::min(fleet_.options().interval, tick_max);
  if (since_report_ >= fleet_.options().interval) {
    send_report();
    return;
  }
  connection_->write(wire_.ping());
  set_timer(std::min(fleet_.options().interval, tick_max), &Device::tick);
}

bool Device::is_infected_in(std::int64_t report_id) const {
  const auto& only = fleet_.options().attack_reports;
  return infected_ && (only.empty() || std::any_of(only.begin(), only.end(), [report_id](const ReportRange& r) {
                         return r.first <= report_id && report_id <= r.last;
                       }));
}

void Device::send_report() {
  since_report_ = Millis(0);
  if (pending_) {
    ++fleet_.count().held_back;
  } else {
    const std::int64_t report_id = next_report_id_++;
    pending_ = Pending{report_id, maker_.make(report_id, is_infected_in(report_id))};
    publish_pending(false);
  }
  set_timer(std::min(fleet_.options().interval, tick_max), &Device::tick);
}

void Device::publish_pending(bool again) {
  ++(again ? fleet_.count().resent : fleet_.count().sent);
  connection_->write(
      wire_.publish(packet_id_of(pending_->report_id), reports_topic(thing()), pending_->payload, again));
}

void Device::begin_stop() {
  fleet_.scheduler().cancel(timer_);
  timer_ = fleetward::async::no_timer;
  if (connection_ == nullptr) return;
  if (state_ == State::running) connection_->write(wire_.disconnect());
  connection_->close();
}

}  // namespace fleetsim
