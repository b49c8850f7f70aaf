#include "services/gateway/device_connection.hpp"

#include "crypto/digest.hpp"
#include "log/log.hpp"

namespace fleetward::gateway {
namespace {

// What a session ended for, as a metric tells it.
std::string_view limit_of(std::uint8_t reason_code) {
  switch (reason_code) {
    case mqtt::reason::message_rate_too_high:
      return "message-rate";
    case mqtt::reason::quota_exceeded:
      return "quota";
    case mqtt::reason::receive_maximum_exceeded:
      return "receive-maximum";
    case mqtt::reason::packet_too_large:
      return "packet-size";
    case mqtt::reason::keep_alive_timeout:
      return "keep-alive";
    default:
      return "protocol";
  }
}

}  // namespace

DeviceConnection::DeviceConnection(std::shared_ptr<Gateway::State> gateway, std::shared_ptr<net::Connection> connection,
                                   std::uint64_t number)
    : gateway_(std::move(gateway)),
      connection_(std::move(connection)),
      number_(number),
      session_(*this, gateway_->config.session, gateway_->scheduler.steady_now()) {}

void DeviceConnection::start() {
  const auto self = shared_from_this();
  net::Connection::Callbacks callbacks;
  callbacks.verify_peer = [self](ByteView der) { return self->judge_unproven(der); };
  callbacks.open = [self](const net::TlsInfo& info) { self->on_open(info); };
  callbacks.data = [self](ByteView bytes) { self->on_data(bytes); };
  callbacks.closed = [self](const Error& why) { self->on_closed(why); };
  connection_->set_callbacks(std::move(callbacks));
}

// ---- identity: (authority, certificate) to thing. The chain is good and leads to our authority when this is asked.

// One that we know is judged by its record alone: reading a certificate takes as long as a tenth of a handshake.
net::PeerVerdict DeviceConnection::judge_unproven(ByteView leaf_der) {
  const std::string fingerprint = crypto::sha256_hex(leaf_der);
  if (gateway_->certificates.find(fingerprint) == nullptr) {
    const auto leaf = pki::read_certificate_der(leaf_der);
    if (!leaf) return net::PeerVerdict::unknown;
    if (!gateway_->probed_by(*leaf, leaf_der).empty()) return net::PeerVerdict::accept;
  }
  return judge(fingerprint, false);
}

// `proven`: the peer has shown that it holds the key. Before that nothing is counted against the thing: certificates
// are public, and whoever shows a stolen one must not move its counters.
net::PeerVerdict DeviceConnection::judge(const std::string& fingerprint, bool proven) {
  const fleet::CertificateRecord* record = gateway_->certificates.find(fingerprint);
  const access::Admission admission = gateway_->certificates.admit(record, gateway_->scheduler.now());
  if (admission == access::Admission::admitted) return net::PeerVerdict::accept;
  count_refused_certificate(to_string(admission));
  if (record != nullptr && !record->thing.empty()) {
    if (proven) gateway_->cloud.connection_attempt(record->thing, record->thing_id, address());
    gateway_->say_refused(record->thing, record->thing_id, to_string(admission), fingerprint, 0, address());
  }
  if (admission == access::Admission::revoked) return net::PeerVerdict::revoked;
  return admission == access::Admission::expired ? net::PeerVerdict::expired : net::PeerVerdict::unknown;
}

// Once a refusal. That a ticket outlived the certificate's standing is told apart: the event on the bus has the
// standing.
void DeviceConnection::count_refused_certificate(std::string_view standing) {
  is_refused_ = true;
  gateway_->counters.refused(is_resumed_ ? "after-resumption" : standing).add();
}

// After every handshake, resumed ones too: a ticket must not outlive the certificate's standing.
bool DeviceConnection::identify(const net::TlsInfo& tls) {
  const fleet::CertificateRecord* record = gateway_->certificates.find(tls.peer_fingerprint);
  if (record == nullptr) {
    const auto leaf = pki::read_certificate_der(tls.peer_certificate_der);
    const std::string probed = leaf ? gateway_->probed_by(*leaf, tls.peer_certificate_der) : std::string();
    if (!probed.empty()) return identify_probe(*leaf, probed);
  }
  if (judge(tls.peer_fingerprint, true) != net::PeerVerdict::accept) return false;
  fingerprint_ = tls.peer_fingerprint;
  thing_ = record->thing;
  thing_id_ = record->thing_id;
  return true;
}

bool DeviceConnection::identify_probe(const pki::CertificateInfo& leaf, const std::string& thing) {
  fingerprint_ = leaf.fingerprint;
  thing_ = thing;
  is_probe_ = gateway_->scheduler.now() < leaf.not_after;
  if (!is_probe_) count_refused_certificate(to_string(access::Admission::expired));
  return is_probe_;
}

void DeviceConnection::on_open(const net::TlsInfo& info) {
  is_open_ = true;
  is_resumed_ = info.resumed;
  const bool is_known = identify(info);
  end_handshake(is_known);
  if (!is_known) return connection_->abort();
  std::weak_ptr<DeviceConnection> weak = weak_from_this();
  timer_ = gateway_->scheduler.call_after(gateway_->config.connect_timeout, [weak] {
    const auto self = weak.lock();
    if (self && !self->session_.connected() && !self->closed_) self->connection_->abort();
  });
}

// One that sends too much and cannot be told so (3.1.1).
void DeviceConnection::pause_for_its_rate(mqtt::SteadyTime until) {
  gateway_->counters.throttled("device").add();
  connection_->pause_reading();
  const auto wait = std::chrono::ceil<Millis>(until - gateway_->scheduler.steady_now());
  std::weak_ptr<DeviceConnection> weak = weak_from_this();
  pause_timer_ = gateway_->scheduler.call_after(std::max(wait, Millis(1)), [weak] {
    const auto self = weak.lock();
    if (self && !self->closed_) self->go_on_after_pause();
  });
}

void DeviceConnection::go_on_after_pause() {
  session_.feed({}, gateway_->scheduler.steady_now());
  pump();
  if (closed_ || session_.ended()) return;
  if (const auto until = session_.paused_until()) return pause_for_its_rate(*until);
  if (!gateway_->reading_paused) resume_reading();
}

void DeviceConnection::on_data(ByteView bytes) {
  gateway_->count_read(bytes.size());
  const bool was_paused = session_.paused_until().has_value();  // then its timer runs
  session_.feed(bytes, gateway_->scheduler.steady_now());
  pump();
  const auto until = session_.paused_until();
  if (until && !was_paused && !closed_) pause_for_its_rate(*until);
  const bool is_throttled = gateway_->is_throttled();
  if (closed_ || (!gateway_->overloaded() && !is_throttled)) return;
  if (is_throttled) gateway_->counters.throttled("all").add();
  gateway_->reading_paused = true;
  connection_->pause_reading();
}

void DeviceConnection::on_closed(const Error& why) {
  closed_ = true;
  end_handshake(gateway_->stopping);  // which is not its failure
  count_end(why);
  gateway_->scheduler.cancel(timer_);
  gateway_->scheduler.cancel(pause_timer_);
  const auto self = shared_from_this();
  gateway_->connections.erase(number_);
  if (std::exchange(is_session_, false)) {
    gateway_->sessions.erase(thing_);
    gateway_->counters.sessions.set(static_cast<double>(gateway_->sessions.size()));
    gateway_->cloud.disconnected(thing_);
    gateway_->emit_urgent_metrics();
  }
}

// Ends that no MQTT packet tells of.
void DeviceConnection::count_end(const Error& why) {
  if (is_refused_) return;
  if (!is_open_) {
    gateway_->counters.refused("handshake").add();
    log::debug("handshake_failed", {{"address", address()}, {"error", why.message}});
  } else if (why.code == ErrorCode::resource_exhausted) {
    gateway_->counters.refused("not-reading").add();
  } else if (why.code == ErrorCode::throttled) {
    gateway_->counters.refused("tls-messages").add();
  } else if (session_.waits_for_connect() && !gateway_->stopping) {
    gateway_->counters.refused("no-connect").add();  // its time was over, or it left without a word
  }
}

void DeviceConnection::end_handshake(bool succeeded) {
  if (!std::exchange(is_handshaking_, false)) return;
  gateway_->guard.over(address(), succeeded, gateway_->scheduler.steady_now());
  gateway_->counters.handshakes.set(static_cast<double>(gateway_->guard.handshakes()));
}

void DeviceConnection::pump() {
  if (closed_) return;
  if (session_.has_output()) connection_->write(session_.take_output());
  if (session_.ended()) connection_->close();
}

void DeviceConnection::disconnect(std::uint8_t reason_code, std::string_view words) {
  session_.disconnect(reason_code, words);
  pump();
}

void DeviceConnection::on_end(const mqtt::Failure& failure, bool by_client) {
  if (by_client) return;
  gateway_->counters.refused(limit_of(failure.reason_code)).add();
  log::debug("session_ended", {{"thing", thing_}, {"why", failure.text}, {"code", int{failure.reason_code}}});
}

}  // namespace fleetward::gateway
