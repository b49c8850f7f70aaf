// Holds and certificates in force: what table records do to live sessions, and what is said of it.
#include "core/fault.hpp"
#include "crypto/digest.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "log/log.hpp"
#include "services/gateway/device_connection.hpp"

namespace fleetward::gateway {
namespace {

constexpr Millis refusal_said_every{10'000};
constexpr std::size_t refusals_remembered_max = 100'000;

// The data of a CloudEvents record, or nothing, which is logged: a damaged record must not stop the table.
std::optional<json::Value> data_of(const bus::Record& record) {
  if (!record.value) return std::nullopt;
  const auto event = fleet::parse_cloud_event(*record.value);
  if (event) return event->data;
  log::error("bad_record", {{"topic", record.topic}, {"offset", record.offset}, {"error", event.error().message}});
  return std::nullopt;
}

void bad_data(const bus::Record& record, const Error& error) {
  log::error("bad_record", {{"topic", record.topic}, {"offset", record.offset}, {"error", error.message}});
}

}  // namespace

bool Gateway::State::accepts(const bus::Record& record) {
  bool is_known = false;
  if (record.topic == fleet::topic::access) is_known = holds.find(record.key) != nullptr;
  else if (record.key.starts_with(fleet::authority_key_prefix))
    is_known = certificates.authorities().contains(record.key.substr(fleet::authority_key_prefix.size()));
  else is_known = certificates.find(record.key) != nullptr;
  return check.accepts(record, is_known, scheduler.now());
}

// What waits is told as soon as the bus takes it: somebody forges records.
void Gateway::State::tell_refused() {
  if (appender->is_failing() || overloaded()) return;
  for (const fleet::RefusedRecord& refused : check.take_refusals()) {
    const std::string key = refused.key.empty() ? "-" : refused.key;
    const fleet::CloudEvent envelope{refused.id, "/fleetward/gateway", std::string(fleet::event_type::refused_record),
                                     key,        refused.time,         to_json(refused)};
    appender->append({std::string(fleet::topic::enforcement), key, to_json_text(envelope), {}, std::nullopt}, {});
  }
}

void Gateway::State::on_access(const bus::Record& record) {
  const auto data = data_of(record);
  if (!data) return;
  const auto parsed = fleet::access_record_from_json(*data);
  if (!parsed) return bad_data(record, parsed.error());
  if (!holds.apply(*parsed)) return;
  if (snapshot) snapshot->append(*parsed);
  enforce(*parsed);
}

void Gateway::State::enforce(const fleet::AccessRecord& record) {
  fleet::EnforcementEvent event;
  event.thing = record.thing;
  event.thing_id = record.thing_id;
  event.access_version = record.version;
  event.level = access::strictest(record);
  event.reason = event.level ? "held" : "released";
  const auto live = sessions.find(record.thing);
  if (access::keeps_out(event.level) && live != sessions.end()) {
    const auto session = live->second;
    event.certificate = session->fingerprint();
    event.client_address = session->address();
    if (!config.enforcing) {
      event.kind = fleet::EnforcementKind::would_cut;
    } else if (!fault::is_armed("gateway.skip_cut")) {
      cut(session, "quarantined by the operator of this service");
      event.kind = fleet::EnforcementKind::session_cut;
      event.mqtt_reason_code = mqtt::reason::administrative_action;
    }
  }
  event.sessions_left = sessions.contains(record.thing) ? 1 : 0;
  // Releases of long ago are no news at each start; holds are: the last word about one may have been lost in a crash.
  if (event.level || access_follower->caught_up()) say_when_kept(std::move(event));
}

// By value: the table of sessions, which it leaves, may hold the last other one.
void Gateway::State::cut(std::shared_ptr<DeviceConnection> session, std::string_view words) {
  counters.sessions_cut.add();
  log::info("session_cut", {{"thing", session->thing()}});
  sessions.erase(session->thing());
  counters.sessions.set(static_cast<double>(sessions.size()));
  cloud.disconnected(session->thing());
  session->end_session();
  session->disconnect(mqtt::reason::administrative_action, words);
  emit_urgent_metrics();
}

void Gateway::State::on_certificate(const bus::Record& record) {
  const auto data = data_of(record);
  if (!data) return;
  if (record.key.starts_with(fleet::authority_key_prefix)) {
    const auto authority = fleet::authority_record_from_json(*data);
    return authority ? on_authority(*authority) : bad_data(record, authority.error());
  }
  const auto parsed = fleet::certificate_record_from_json(*data);
  if (!parsed) return bad_data(record, parsed.error());
  const fleet::CertificateRecord* before = certificates.find(parsed->fingerprint);
  const std::string thing = before == nullptr ? parsed->thing : before->thing;
  if (!certificates.apply(*parsed)) return;
  if (snapshot) snapshot->append(*parsed);
  const auto live = sessions.find(thing);
  if (live == sessions.end() || live->second->fingerprint() != parsed->fingerprint) return;
  access::Admission admission = certificates.admit(&*parsed, scheduler.now());
  // Attached to another thing by now: its session goes on under a name that is not its own any more.
  if (admission == access::Admission::admitted && parsed->thing != thing) admission = access::Admission::unattached;
  if (admission != access::Admission::admitted) cut_for_certificate(live->second, admission);
}

void Gateway::State::cut_for_certificate(std::shared_ptr<DeviceConnection> session, access::Admission admission) {
  fleet::EnforcementEvent event;
  event.thing = session->thing();
  event.thing_id = session->thing_id();
  event.certificate = session->fingerprint();
  event.reason = to_string(admission);
  event.client_address = session->address();
  event.kind = config.enforcing ? fleet::EnforcementKind::session_cut : fleet::EnforcementKind::would_cut;
  if (config.enforcing) {
    cut(session, "the certificate is no longer valid");
    event.mqtt_reason_code = mqtt::reason::administrative_action;
  }
  event.sessions_left = sessions.contains(event.thing) ? 1 : 0;
  say_when_kept(std::move(event));
}

// Custom metrics that are defined, of the newest manifest: what replies judge a report's custom metrics by. And all
// that says which dimensions are counted (go_by_rules).
void Gateway::State::on_rules(const bus::Record& record) {
  if (record.value) {
    if (const Status added = dimension_rules.add(record.key, *record.value); !added)
      return bad_data(record, added.error());
  }
  if (!record.key.starts_with("manifest/")) return;
  const auto data = data_of(record);
  if (!data) return;
  const auto manifest = fleet::manifest_from_json(*data);
  if (!manifest) return bad_data(record, manifest.error());
  if (manifest->number <= newest_manifest) return;
  newest_manifest = manifest->number;
  customs = report::CustomMetricTable(manifest->custom_metrics);
}

void Gateway::State::say_when_kept(fleet::EnforcementEvent event) {
  event.time = scheduler.now();
  events_to_keep.push_back(std::move(event));
}

// One write to the disk for all that a batch of records blocked. What cannot be kept is not reported yet: the tick
// tries again.
void Gateway::State::flush_events() {
  if (events_to_keep.empty()) return;
  if (snapshot && snapshot->is_open()) {
    Status kept = snapshot->sync();
    if (!kept) kept = snapshot->write(holds, certificates, scheduler.now());
    if (!kept) {
      counters.snapshot_failures.add();
      log::error("snapshot_failed", {{"error", kept.error().message}});
      return;
    }
  }
  for (fleet::EnforcementEvent& event : std::exchange(events_to_keep, {})) say(std::move(event));
}

void Gateway::State::say(fleet::EnforcementEvent event) {
  event.gateway = config.instance;
  event.start_number = start_number;
  if (event.time == Instant{}) event.time = scheduler.now();
  event.id = crypto::id_from("enforcement", config.instance, std::to_string(start_number), std::to_string(++events));
  const fleet::CloudEvent envelope{event.id,    "/fleetward/gateway", std::string(fleet::event_type::enforcement),
                                   event.thing, event.time,           to_json(event)};
  appender->append({std::string(fleet::topic::enforcement), event.thing, to_json_text(envelope), {}, std::nullopt}, {});
}

void Gateway::State::say_refused(const std::string& thing, const std::string& thing_id, std::string_view reason,
                                 const std::string& certificate, int code, const std::string& address) {
  // A refusal is news, no promise: it must not grow the queue of a bus that is away.
  if (appender->is_failing() || overloaded()) return counters.events_dropped.add();
  const Instant now = scheduler.now();
  if (last_refusal_said.size() >= refusals_remembered_max) last_refusal_said.clear();
  const auto [last, first] = last_refusal_said.try_emplace(thing, now);
  if (!first && !has_passed(last->second, now, refusal_said_every)) return;
  last->second = now;
  fleet::EnforcementEvent event;
  event.kind = config.enforcing || reason != "held" ? fleet::EnforcementKind::connect_refused
                                                    : fleet::EnforcementKind::would_refuse;
  event.thing = thing;
  event.thing_id = thing_id;
  event.certificate = certificate;
  event.level = holds.level(thing);
  event.reason = reason;
  event.mqtt_reason_code = code;
  event.client_address = address;
  const fleet::AccessRecord* record = holds.find(thing);
  event.access_version = record == nullptr ? 0 : record->version;
  event.sessions_left = sessions.contains(thing) ? 1 : 0;
  say(std::move(event));
}

}  // namespace fleetward::gateway
