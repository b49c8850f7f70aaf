#include "client.hpp"

#include <fmt/format.h>

namespace fleetload {

namespace net = fleetward::net;

Client::Client(fleetward::async::Scheduler& scheduler, const Options& options, Totals& totals, std::string thing,
               std::shared_ptr<const net::TlsContext> tls, std::string report)
    : scheduler_(scheduler),
      options_(options),
      totals_(totals),
      thing_(std::move(thing)),
      tls_(std::move(tls)),
      report_(std::move(report)) {}

Client::~Client() {
  if (connection_ == nullptr) return;
  connection_->set_callbacks({});
  connection_->abort();
}

void Client::start() {
  wire_.reset();
  leaving_ = waiting_ = false;
  connection_ = net::connect(scheduler_, {options_.host, options_.port}, tls_,
                             {.open = [this](const net::TlsInfo&) { connection_->write(wire_.connect(thing_)); },
                              .data =
                                  [this](fleetward::ByteView bytes) {
                                    const auto read = wire_.feed(bytes, [this](const auto& m) { on_message(m); });
                                    if (!read && connection_ != nullptr) connection_->abort();
                                  },
                              .closed = [this](const fleetward::Error&) { on_closed(); }});
}

void Client::on_message(const fleetsim::WireMessage& message) {
  using Kind = fleetsim::WireMessage::Kind;
  if (message.kind != Kind::connack && message.kind != Kind::puback) return;
  if (message.reason_code != 0) ++totals_.refused;
  if (message.kind == Kind::connack) {
    if (totals_.counting) ++totals_.connects;
    if (options_.kind == fleetload::Kind::connect) {
      leaving_ = true;
      connection_->write(wire_.disconnect());
      connection_->close();
    }
  } else if (totals_.counting) {
    ++totals_.acknowledged;
  }
  waiting_ = false;
  if (options_.kind != fleetload::Kind::publish || totals_.stopping) return;
  if (options_.per_second == 0) return publish();
  if (message.kind == Kind::connack) publish_when_due();
}

// Evenly: each device has the same pause, and they began one after the other.
void Client::publish_when_due() {
  if (totals_.stopping || connection_ == nullptr) return;
  if (!std::exchange(waiting_, true)) publish();
  const auto pause = fleetward::Millis(static_cast<std::int64_t>(options_.connections) * 1'000 / options_.per_second);
  scheduler_.call_after(std::max(pause, fleetward::Millis(1)), [this] { publish_when_due(); });
}

void Client::publish() {
  packet_id_ = static_cast<std::uint16_t>(packet_id_ % 65'535 + 1);
  connection_->write(
      wire_.publish(packet_id_, fmt::format("$aws/things/{}/defender/metrics/json", thing_), report_, false));
}

void Client::on_closed() {
  connection_.reset();
  if (totals_.stopping) return;
  if (!leaving_) ++totals_.broken;
  // Not from within the connection's own callback.
  scheduler_.call_after(fleetward::Millis(leaving_ ? 0 : 100), [this] {
    if (!totals_.stopping) start();
  });
}

}  // namespace fleetload
