#include "simulation/device.hpp"

#include "json/json.hpp"

namespace fleetward::simulation {
namespace {

constexpr std::size_t in_flight_max = 3;  // well within what a detector remembers of a device
constexpr Millis patience{6'000};         // without a word from the gateway
constexpr Millis ping_every{2'500};

}  // namespace

Device::Device(Universe& universe, Loop& loop, std::string thing, std::shared_ptr<const net::TlsContext> tls,
               std::vector<net::Endpoint> gateways, mqtt::Version version, Hooks hooks)
    : universe_(universe),
      loop_(loop),
      thing_(std::move(thing)),
      tls_(std::move(tls)),
      gateways_(std::move(gateways)),
      wire_(version),
      hooks_(std::move(hooks)) {}

void Device::connect_later(Millis wait) {
  loop_.call_after(wait, [this] { connect(); });
}

void Device::connect() {
  const auto which = static_cast<std::size_t>(universe_.choice().below(static_cast<std::int64_t>(gateways_.size())));
  const std::uint64_t session = ++session_;
  wire_.reset();
  heard_ = universe_.now();
  net::Connection::Callbacks callbacks;
  callbacks.open = [this, session](const net::TlsInfo&) {
    if (session == session_) connection_->write(wire_.connect(thing_));
  };
  callbacks.data = [this, session](ByteView bytes) {
    if (session != session_) return;
    heard_ = universe_.now();
    const Status read = wire_.feed(bytes, [this](const fleetsim::WireMessage& m) { on_message(m); });
    if (!read) universe_.fail("a gateway sent what is not MQTT: " + read.error().message);
  };
  callbacks.closed = [this, session](const Error&) {
    if (session == session_) on_closed();
  };
  connection_ = net::connect(loop_, gateways_[which], tls_, std::move(callbacks));
  watch(session);
}

// Pings, and gives a gateway up that says nothing any more.
void Device::watch(std::uint64_t session) {
  loop_.call_after(ping_every, [this, session] {
    if (session != session_ || !connection_) return;
    if (universe_.now() - heard_ > patience) return connection_->abort();
    if (admitted_) connection_->write(wire_.ping());
    watch(session);
  });
}

void Device::on_message(const fleetsim::WireMessage& message) {
  using Kind = fleetsim::WireMessage::Kind;
  if (message.kind == Kind::connack) {
    if (message.reason_code != 0) {
      ++refusals_;
      return connection_->abort();
    }
    admitted_ = true;
    for (const Report& r : in_flight_) send(r, true);
    if (!std::exchange(reporting_, true)) report_later();
  } else if (message.kind == Kind::puback) {
    const auto found = std::find_if(in_flight_.begin(), in_flight_.end(),
                                    [&](const Report& r) { return r.packet == message.packet_id; });
    if (found == in_flight_.end()) return;
    if (message.reason_code == 0) hooks_.acknowledged(thing_, found->text);
    in_flight_.erase(found);
  }
}

void Device::on_closed() {
  admitted_ = false;
  connection_.reset();
  ++session_;
  connect_later(universe_.choice().millis(200, 4'000));
}

void Device::report_later() {
  loop_.call_after(universe_.choice().millis(100, 2'500), [this] {
    if (admitted_ && hooks_.may_report() && in_flight_.size() < in_flight_max) {
      json::Value ports = json::Value::array({{{"port", 22}}});
      if (infected_) ports.push_back({{"port", 48'101}});
      const json::Value text = {{"header", {{"report_id", ++reports_}, {"version", "1.0"}}},
                                {"metrics", {{"listening_tcp_ports", {{"ports", ports}, {"total", ports.size()}}}}}};
      packet_ = static_cast<std::uint16_t>(packet_ % 65'535 + 1);
      in_flight_.push_back({packet_, json::dump(text)});
      send(in_flight_.back(), false);
    }
    report_later();
  });
}

void Device::send(const Report& report, bool again) {
  connection_->write(
      wire_.publish(report.packet, fmt::format("$aws/things/{}/defender/metrics/json", thing_), report.text, again));
}

}  // namespace fleetward::simulation
