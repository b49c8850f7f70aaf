#include "services/gateway/device_connection.hpp"

#include "access/topic_policy.hpp"
#include "core/fault.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "report/reply.hpp"

namespace fleetward::gateway {

using mqtt::reason::banned;

DeviceConnection::DeviceConnection(std::shared_ptr<Gateway::State> gateway, std::shared_ptr<net::Connection> connection)
    : gateway_(std::move(gateway)),
      connection_(std::move(connection)),
      session_(*this, gateway_->config.session, gateway_->scheduler.steady_now()) {}

void DeviceConnection::start() {
  const auto self = shared_from_this();
  net::Connection::Callbacks callbacks;
  callbacks.verify_peer = [self](ByteView der) { return self->judge(der, false); };
  callbacks.open = [self](const net::TlsInfo& info) { self->on_open(info); };
  callbacks.data = [self](ByteView bytes) { self->on_data(bytes); };
  callbacks.closed = [self](const Error& why) { self->on_closed(why); };
  connection_->set_callbacks(std::move(callbacks));
}

// ---- identity: (authority, certificate) to thing. The chain is good and leads to our authority when this is asked.

//
// `proven`: the peer has shown that it holds the key. Before that nothing is counted against the thing: certificates
// are public, and whoever shows a stolen one must not move its counters.

net::PeerVerdict DeviceConnection::judge(ByteView leaf_der, bool proven) {
  const auto info = pki::read_certificate_der(leaf_der);
  if (!info) return net::PeerVerdict::unknown;
  if (!pki::probe_thing(*info).empty()) return net::PeerVerdict::accept;
  const access::Admission admission =
      access::admit(gateway_->certificates.find(info->fingerprint), gateway_->scheduler.now());
  if (admission == access::Admission::admitted) return net::PeerVerdict::accept;
  count_refused_certificate(to_string(admission));
  const fleet::CertificateRecord* record = gateway_->certificates.find(info->fingerprint);
  if (record != nullptr && !record->thing.empty()) {
    if (proven) gateway_->cloud.connection_attempt(record->thing, record->thing_id, address());
    gateway_->say_refused(record->thing, record->thing_id, to_string(admission), info->fingerprint, 0, address());
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
bool DeviceConnection::identify(ByteView leaf_der) {
  if (judge(leaf_der, true) != net::PeerVerdict::accept) return false;
  const auto info = pki::read_certificate_der(leaf_der);
  fingerprint_ = info->fingerprint;
  const std::string probed = pki::probe_thing(*info);
  if (!probed.empty()) {
    is_probe_ = gateway_->scheduler.now() < info->not_after;
    thing_ = probed;
    if (!is_probe_) count_refused_certificate(to_string(access::Admission::expired));
    return is_probe_;
  }
  const fleet::CertificateRecord* record = gateway_->certificates.find(fingerprint_);
  thing_ = record->thing;
  thing_id_ = record->thing_id;
  return true;
}

void DeviceConnection::on_open(const net::TlsInfo& info) {
  is_open_ = true;
  is_resumed_ = info.resumed;
  if (!identify(info.peer_certificate_der)) return connection_->abort();
  std::weak_ptr<DeviceConnection> weak = weak_from_this();
  timer_ = gateway_->scheduler.call_after(gateway_->config.connect_timeout, [weak] {
    const auto self = weak.lock();
    if (!self || self->session_.connected() || self->closed_) return;
    self->gateway_->counters.refused("no-connect").add();
    self->connection_->abort();
  });
}

void DeviceConnection::on_data(ByteView bytes) {
  session_.feed(bytes, gateway_->scheduler.steady_now());
  pump();
  if (closed_ || !gateway_->overloaded()) return;
  gateway_->reading_paused = true;
  connection_->pause_reading();
}

void DeviceConnection::on_closed(const Error& why) {
  closed_ = true;
  if (!is_open_ && !is_refused_) {
    gateway_->counters.refused("handshake").add();
    log::debug("handshake_failed", {{"address", address()}, {"error", why.message}});
  }
  gateway_->scheduler.cancel(timer_);
  const auto self = shared_from_this();
  gateway_->connections.erase(self);
  if (std::exchange(is_session_, false)) {
    gateway_->sessions.erase(thing_);
    gateway_->counters.sessions.set(static_cast<double>(gateway_->sessions.size()));
    gateway_->cloud.disconnected(thing_);
    gateway_->emit_urgent_metrics();
  }
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
  gateway_->counters.refused("protocol").add();
  log::debug("session_ended", {{"thing", thing_}, {"why", failure.text}, {"code", int{failure.reason_code}}});
}

// ---- CONNECT

void DeviceConnection::on_connect(const mqtt::Connect& packet) {
  if (is_probe_) return answer_probe(packet);
  gateway_->cloud.connection_attempt(thing_, thing_id_, address());
  if (packet.client_id != thing_) {
    // Counted for who it really is; the thing whose name was claimed hears nothing of it.
    gateway_->counters.refused("client-id").add();
    gateway_->cloud.authorization_failure(thing_);
    session_.refuse(mqtt::reason::not_authorized);
    gateway_->emit_urgent_metrics();
    return;
  }
  // The tables may have changed between handshake and CONNECT.
  const fleet::CertificateRecord* certificate = gateway_->certificates.find(fingerprint_);
  const access::Admission admission = access::admit(certificate, gateway_->scheduler.now());
  if (admission != access::Admission::admitted || certificate->thing != thing_) {
    gateway_->counters.refused(to_string(admission)).add();
    gateway_->cloud.authorization_failure(thing_);
    gateway_->say_refused(thing_, thing_id_, to_string(admission), fingerprint_, mqtt::reason::not_authorized,
                          address());
    session_.refuse(mqtt::reason::not_authorized);
    return gateway_->emit_urgent_metrics();
  }
  const auto level = gateway_->holds.level(thing_);
  if (access::keeps_out(level)) {
    gateway_->say_refused(thing_, thing_id_, "held", fingerprint_, banned, address());
    if (gateway_->config.enforcing) {
      gateway_->counters.refused("held").add();
      gateway_->cloud.authorization_failure(thing_);
      session_.refuse(banned);
      gateway_->emit_urgent_metrics();
      return;
    }
  }
  if (packet.will) gateway_->counters.wills_ignored.add();
  admit();
}

void DeviceConnection::answer_probe(const mqtt::Connect& packet) {
  gateway_->counters.probes.add();
  const auto session = gateway_->sessions.find(thing_);
  const fleet::AccessRecord* record = gateway_->holds.find(thing_);
  const std::vector<std::pair<std::string, std::string>> facts = {
      {"fleetward-gateway", gateway_->config.instance},
      {"fleetward-sessions", session == gateway_->sessions.end() ? "0" : "1"},
      {"fleetward-access-version", std::to_string(record == nullptr ? 0 : record->version)}};
  const bool out = access::keeps_out(gateway_->holds.level(thing_)) && gateway_->config.enforcing;
  if (packet.client_id != thing_) return session_.refuse(mqtt::reason::not_authorized, facts);
  if (out) return session_.refuse(banned, facts);
  session_.accept(facts);
  session_.disconnect(mqtt::reason::success);
}

void DeviceConnection::admit() {
  take_over();
  is_session_ = true;
  gateway_->sessions[thing_] = shared_from_this();
  gateway_->counters.sessions.set(static_cast<double>(gateway_->sessions.size()));
  gateway_->cloud.connected(thing_);
  gateway_->emit_urgent_metrics();
  session_.accept();
  arm_deadline();
}

// The same certificate connects again: the older session goes (MQTT 5 section 3.1.4).
void DeviceConnection::take_over() {
  const auto older = gateway_->sessions.find(thing_);
  if (older == gateway_->sessions.end()) return;
  const auto session = older->second;
  gateway_->counters.takeovers.add();
  session->end_session();
  gateway_->sessions.erase(older);
  gateway_->cloud.disconnected(thing_);
  session->disconnect(mqtt::reason::session_taken_over, {});
}

void DeviceConnection::arm_deadline() {
  const auto due = session_.deadline();
  if (!due) return;
  gateway_->scheduler.cancel(timer_);
  const auto wait = std::chrono::duration_cast<Millis>(*due - gateway_->scheduler.steady_now()) + Millis(1);
  std::weak_ptr<DeviceConnection> weak = weak_from_this();
  timer_ = gateway_->scheduler.call_after(std::max(wait, Millis(1)), [weak] {
    const auto self = weak.lock();
    if (!self || self->closed_) return;
    self->session_.on_time(self->gateway_->scheduler.steady_now());
    self->pump();
    if (!self->session_.ended()) self->arm_deadline();
  });
}

// ---- SUBSCRIBE and PUBLISH

std::uint8_t DeviceConnection::on_subscribe(std::string_view filter, std::uint8_t qos) {
  const auto level = gateway_->config.enforcing ? gateway_->holds.level(thing_) : std::nullopt;
  if (access::may_subscribe(thing_, level, filter)) return qos;
  gateway_->counters.refused("subscribe").add();
  gateway_->cloud.authorization_failure(thing_);
  gateway_->emit_urgent_metrics();
  return mqtt::reason::not_authorized;
}

void DeviceConnection::on_publish(const mqtt::Publish& packet) {
  gateway_->cloud.message_sent(thing_, packet.payload.size());
  const auto level = gateway_->config.enforcing ? gateway_->holds.level(thing_) : std::nullopt;
  switch (access::publish_use(thing_, level, packet.topic)) {
    case access::TopicUse::report_json:
      return take_report(packet);
    case access::TopicUse::report_cbor:
      gateway_->counters.reports("rejected-cbor").add();
      if (packet.qos == 1) session_.acknowledge(packet.packet_id, mqtt::reason::payload_format_invalid);
      return;
    case access::TopicUse::refused:
      return refuse_publish(packet);
  }
}

void DeviceConnection::refuse_publish(const mqtt::Publish& packet) {
  gateway_->counters.refused("publish").add();
  gateway_->cloud.authorization_failure(thing_);
  gateway_->emit_urgent_metrics();
  if (session_.version() == mqtt::Version::v311) {
    session_.disconnect(mqtt::reason::not_authorized);  // 3.1.1 knows no refusal of a publish: a close
  } else if (packet.qos == 1) {
    session_.acknowledge(packet.packet_id, mqtt::reason::not_authorized);
  }
}

void DeviceConnection::take_report(const mqtt::Publish& packet) {
  const Instant now = gateway_->scheduler.now();
  const auto report = gateway_->parser.parse(packet.payload, gateway_->customs);
  if (!report) {
    gateway_->counters.reports("rejected").add();
    if (packet.qos == 1) session_.acknowledge(packet.packet_id);
    reply(access::rejected_topic(thing_),
          report::rejected_reply(thing_, gateway_->parser.report_id(), report::reply_code::invalid_payload,
                                 report.error().message, now));
    return;
  }
  if (packet.qos == 0 && gateway_->overloaded()) {
    gateway_->counters.reports("dropped-overload").add();
    return;
  }
  gateway_->counters.custom_metric_problems.add((*report)->problem_count);
  bus::OutRecord record{
      std::string(fleet::topic::devices), thing_, std::string(as_text(packet.payload)), {}, std::nullopt};
  const auto header = [&record](std::string_view name, std::string value) {
    record.headers.push_back({std::string(name), std::move(value)});
  };
  header(fleet::header::kind, std::string(to_string(fleet::RecordKind::report)));
  header(fleet::header::received_ms, std::to_string(to_ms(now)));
  header(fleet::header::source, gateway_->config.instance);
  header(fleet::header::principal, fingerprint_);
  header(fleet::header::thing_id, thing_id_);
  header(fleet::header::content_type, "application/json");
  if (packet.qos == 1) header(fleet::header::packet_id, std::to_string(packet.packet_id));
  if (packet.dup) header(fleet::header::dup, "1");
  const std::uint16_t acknowledged_id = packet.qos == 1 ? packet.packet_id : std::uint16_t{0};
  gateway_->appender->append(std::move(record), [self = shared_from_this(), acknowledged_id,
                                                 text = report::accepted_reply(thing_, **report, now)] {
    fault::crash_here("gateway.after_append");
    self->gateway_->counters.reports("accepted").add();
    if (self->closed_) return;
    if (acknowledged_id != 0) self->session_.acknowledge(acknowledged_id);
    self->reply(access::accepted_topic(self->thing_), text);
    self->pump();
  });
}

void DeviceConnection::reply(const std::string& topic, const std::string& text) {
  if (session_.publish(topic, text)) gateway_->cloud.message_received(thing_);
}

}  // namespace fleetward::gateway
