#include "simulation/access_oracle.hpp"

#include "access/tables.hpp"
#include "crypto/digest.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "mqtt/decode.hpp"
#include "simulation/forger.hpp"

namespace fleetward::simulation {
namespace {

constexpr Millis clocks_apart{2'000};  // of two incarnations of one gateway, at most
constexpr std::uint8_t connack_type = 0x20;

std::optional<json::Value> data_of(const bus::Record& record) {
  auto event = fleet::parse_cloud_event(record.value.value_or(""));
  if (!event) return std::nullopt;
  return std::move(event->data);
}

}  // namespace

void AccessOracle::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (r.topic == fleet::topic::access && is_signed(r)) take_access(r);
    else if (r.topic == fleet::topic::enforcement) take_enforcement(r);
    else if (r.topic == fleet::topic::devices && bus::find_header(r.headers, fleet::header::kind) == "report")
      take_report(r);
  }
}

void AccessOracle::take_access(const bus::Record& record) {
  const auto data = data_of(record);
  auto parsed = data ? fleet::access_record_from_json(*data)
                     : Result<fleet::AccessRecord>(ErrorCode::invalid_argument, "not an event");
  if (!parsed) return universe_.fail("an unreadable access record: " + parsed.error().message);
  universe_.note(fmt::format("access: {} version {} holds {}", parsed->thing, parsed->version, parsed->holds.size()));
  const auto [known, first] = records_[parsed->thing].emplace(parsed->version, *parsed);
  if (!first && known->second != *parsed)
    universe_.fail(fmt::format("two different access records of {} have version {}", parsed->thing, parsed->version));
}

void AccessOracle::take_enforcement(const bus::Record& record) {
  const auto envelope = fleet::parse_cloud_event(record.value.value_or(""));
  if (envelope && envelope->type == fleet::event_type::refused_record) return;
  const auto data = data_of(record);
  const auto event = data ? fleet::enforcement_event_from_json(*data)
                          : Result<fleet::EnforcementEvent>(ErrorCode::invalid_argument, "not an event");
  if (!event) return universe_.fail("an unreadable enforcement event: " + event.error().message);
  if (event->kind != fleet::EnforcementKind::session_cut && event->kind != fleet::EnforcementKind::applied) return;
  if (event->access_version > 0 && !was_decided(*event))
    universe_.fail(fmt::format("{} went by a record of {} that nobody may have signed", event->gateway, event->thing));
  Said& said = said_[{event->gateway, event->thing}];
  if (event->access_version > said.version) said = {event->access_version, event->time};
}

bool AccessOracle::was_decided(const fleet::EnforcementEvent& event) const {
  const auto things = records_.find(event.thing);
  if (things == records_.end()) return false;
  const auto record = things->second.find(event.access_version);
  return record != things->second.end() && access::strictest(record->second) == event.level;
}

void AccessOracle::take_report(const bus::Record& record) {
  reports_.emplace(record.key, record.value.value_or(""));
  const auto source = bus::find_header(record.headers, fleet::header::source);
  const auto received = bus::find_header(record.headers, fleet::header::received_ms);
  if (!source || !received) return universe_.fail("a report without source or time");
  const auto said = said_.find({std::string(*source), record.key});
  if (said == said_.end() || !keeps_out_since(record.key, said->second.version)) return;
  const Instant taken = instant_from_ms(std::atoll(std::string(*received).c_str()));
  if (taken > said->second.time + clocks_apart)
    universe_.fail(fmt::format("{} took a report of {}, which it had said to keep out", *source, record.key));
}

void AccessOracle::on_acknowledged(const std::string& thing, const std::string& report) {
  ++acknowledged_;
  if (!reports_.contains({thing, report}))
    universe_.fail(fmt::format("a report of {} was acknowledged and is not on the log", thing));
}

bool AccessOracle::keeps_out_since(const std::string& thing, std::int64_t version) const {
  const auto found = records_.find(thing);
  if (found == records_.end() || version == 0) return false;
  const auto from = found->second.lower_bound(version);
  return from != found->second.end() && std::all_of(from, found->second.end(), [](const auto& entry) {
           return access::keeps_out(access::strictest(entry.second));
         });
}

void AccessOracle::on_server_write(const SimNetwork::ServerWrite& write) {
  if (write.bytes.empty() || write.bytes[0] != connack_type || write.client_certificate.empty()) return;
  const std::string& server = write.server.name();
  const auto thing = things_.find(crypto::sha256_hex(write.client_certificate));
  if (thing == things_.end()) return;  // a probe
  mqtt::Failure failure;
  const auto frame = mqtt::next_frame(write.bytes, write.bytes.size(), failure);
  // The code stands behind the flags, in both versions.
  if (!frame || frame->body.size() < 2 || frame->body[1] != 0) return;
  ++admissions_;
  universe_.note(fmt::format("admits: {} at {}", thing->second, server));
  const auto said = said_.find({server, thing->second});
  if (said != said_.end() && keeps_out_since(thing->second, said->second.version))
    universe_.fail(fmt::format("{} admits {}, which it had said to keep out", server, thing->second));
  if (on_admission) on_admission(server, thing->second, write.connection);
}

void AccessOracle::on_gateway_start(const std::string& gateway) {
  for (const auto& [thing, records] : records_) {
    Said& said = said_[{gateway, thing}];
    const std::int64_t newest = records.rbegin()->first;
    if (newest > said.version) said = {newest, universe_.now()};
  }
}

const fleet::AccessRecord* AccessOracle::newest(const std::string& thing) const {
  const auto found = records_.find(thing);
  return found == records_.end() ? nullptr : &found->second.rbegin()->second;
}

}  // namespace fleetward::simulation
