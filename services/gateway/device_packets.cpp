// What a device says over its connection: CONNECT, SUBSCRIBE, PUBLISH.
#include "access/topic_policy.hpp"
#include "core/fault.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "report/reply.hpp"
#include "services/gateway/device_connection.hpp"

namespace fleetward::gateway {

using mqtt::reason::banned;

constexpr Millis paused_deadline_every{1'000};

// ---- CONNECT

void DeviceConnection::on_connect(const mqtt::Connect& packet) {
  if (is_probe_) return answer_probe(packet);
  gateway_->cloud.connection_attempt(thing_, thing_id_, address());
  // Who gives no name is given its own (MQTT 5 section 3.1.3.1): it is the certificate that says who it is.
  const bool is_nameless = packet.client_id.empty();
  if (!is_nameless && packet.client_id != thing_) {
    // Counted for who it really is; the thing whose name was claimed hears nothing of it.
    gateway_->counters.refused("client-id").add();
    gateway_->cloud.authorization_failure(thing_);
    session_.refuse(mqtt::reason::not_authorized);
    gateway_->emit_urgent_metrics();
    return;
  }
  // The tables may have changed between handshake and CONNECT.
  const fleet::CertificateRecord* certificate = gateway_->certificates.find(fingerprint_);
  const access::Admission admission = gateway_->certificates.admit(certificate, gateway_->scheduler.now());
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
  if (refuse_when_busy()) return;
  if (packet.will) gateway_->counters.wills_ignored.add();
  admit(is_nameless ? thing_ : std::string());
}

// A device that may come in, but not now: it connects too often, or we cannot take more from anybody.
bool DeviceConnection::refuse_when_busy() {
  if (!gateway_->guard.connects(thing_, gateway_->scheduler.steady_now())) {
    gateway_->counters.refused("device-rate").add();
    session_.refuse(mqtt::reason::connection_rate_exceeded, {}, "this device connects too often");
  } else if (gateway_->overloaded()) {
    gateway_->counters.refused("server-busy").add();
    session_.refuse(mqtt::reason::server_busy);
  } else {
    return false;
  }
  gateway_->emit_urgent_metrics();
  return true;
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

void DeviceConnection::admit(const std::string& assigned_client_id) {
  take_over();
  is_session_ = true;
  gateway_->sessions[thing_] = shared_from_this();
  gateway_->counters.sessions.set(static_cast<double>(gateway_->sessions.size()));
  gateway_->cloud.connected(thing_);
  gateway_->emit_urgent_metrics();
  session_.accept({}, assigned_client_id);
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
  // While nothing is read, silence is ours: looked at again when it may be the device's.
  const Millis shortest = gateway_->reading_paused ? paused_deadline_every : Millis(1);
  timer_ = gateway_->scheduler.call_after(std::max(wait, shortest), [weak] {
    if (const auto self = weak.lock()) self->on_deadline();
  });
}

void DeviceConnection::on_deadline() {
  if (closed_) return;
  if (!gateway_->reading_paused) session_.on_time(gateway_->scheduler.steady_now());
  pump();
  if (!session_.ended()) arm_deadline();
}

// ---- SUBSCRIBE and PUBLISH

std::uint8_t DeviceConnection::on_subscribe(std::string_view filter, std::uint8_t qos) {
  const auto level = gateway_->config.enforcing ? gateway_->holds.level(thing_) : std::nullopt;
  if (access::may_subscribe(thing_, level, filter)) return qos;
  gateway_->counters.refused("subscribe").add();
  gateway_->cloud.authorization_failure(thing_, filter);
  gateway_->emit_urgent_metrics();
  return mqtt::reason::not_authorized;
}

void DeviceConnection::on_publish(const mqtt::Publish& packet) {
  gateway_->all_messages.charge(gateway_->config.messages, 1, gateway_->scheduler.steady_now());
  gateway_->cloud.message_sent(thing_, packet.payload.size(), packet.topic, connection_->peer().host);
  const auto level = gateway_->config.enforcing ? gateway_->holds.level(thing_) : std::nullopt;
  const auto use = access::publish_use(thing_, level, packet.topic);
  if (use == access::TopicUse::refused) return refuse_publish(packet);
  take_report(packet, use);
}

void DeviceConnection::refuse_publish(const mqtt::Publish& packet) {
  gateway_->counters.refused("publish").add();
  gateway_->cloud.authorization_failure(thing_, packet.topic);
  gateway_->emit_urgent_metrics();
  if (session_.version() == mqtt::Version::v311) {
    session_.disconnect(mqtt::reason::not_authorized);  // 3.1.1 knows no refusal of a publish: a close
  } else if (packet.qos > 0) {
    session_.acknowledge(packet.packet_id, mqtt::reason::not_authorized, "this device may not publish to this topic");
  }
}

// The record of a report: what the device sent, untouched, and in headers what is known of it.
bus::OutRecord DeviceConnection::record_of(const mqtt::Publish& packet, report::Encoding encoding) const {
  bus::OutRecord record =
      gateway_->device_record(fleet::RecordKind::report, thing_, std::string(as_text(packet.payload)));
  bus::Headers& headers = record.headers;
  headers.push_back({fleet::header::principal, fingerprint_});
  headers.push_back({fleet::header::thing_id, thing_id_});
  headers.push_back({fleet::header::content_type, report::content_type(encoding)});
  if (packet.qos > 0) headers.push_back({fleet::header::packet_id, std::to_string(packet.packet_id)});
  if (packet.dup) headers.push_back({fleet::header::dup, "1"});
  return record;
}

void DeviceConnection::take_report(const mqtt::Publish& packet, access::TopicUse use) {
  const Instant now = gateway_->scheduler.now();
  const auto encoding = use == access::TopicUse::report_cbor ? report::Encoding::cbor : report::Encoding::json;
  const auto report = gateway_->parser.parse(packet.payload, gateway_->customs, encoding);
  if (!report) {
    gateway_->counters.reports("rejected").add();
    if (packet.qos > 0) session_.acknowledge(packet.packet_id);
    reply(access::rejected_topic(thing_, use),
          report::rejected_reply(thing_, gateway_->parser.report_id(), report::reply_code::invalid_payload,
                                 report.error().message, now, encoding));
    return;
  }
  if (packet.qos == 0 && gateway_->overloaded()) {
    gateway_->counters.reports("dropped-overload").add();
    return;
  }
  gateway_->counters.custom_metric_problems.add((*report)->problem_count);
  bus::OutRecord record = record_of(packet, encoding);
  if (fault::is_armed("gateway.acknowledge_early") && packet.qos > 0) session_.acknowledge(packet.packet_id);
  const std::uint16_t acknowledged_id = packet.qos > 0 ? packet.packet_id : std::uint16_t{0};
  // Made only for who listens: many devices take the PUBACK for an answer.
  const std::string topic = access::accepted_topic(thing_, use);
  std::string text = session_.is_subscribed(topic) ? report::accepted_reply(thing_, **report, now, encoding) : "";
  gateway_->appender->append(std::move(record), {shared_from_this(), acknowledged_id, use, std::move(text)});
}

void DeviceConnection::on_durable(const Receipt& receipt) {
  fault::crash_here("gateway.after_append");
  gateway_->counters.reports_accepted.add();
  if (closed_) return;
  if (receipt.packet_id != 0) session_.acknowledge(receipt.packet_id);
  if (!receipt.reply.empty()) reply(access::accepted_topic(thing_, receipt.use), receipt.reply);
  pump();
}

void DeviceConnection::reply(const std::string& topic, const std::string& text) {
  if (session_.publish(topic, text)) gateway_->cloud.message_received(thing_, topic);
}

}  // namespace fleetward::gateway
