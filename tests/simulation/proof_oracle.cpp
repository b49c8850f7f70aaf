#include "simulation/proof_oracle.hpp"

#include "access/tables.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"

namespace fleetward::simulation {
namespace {

// As long as a responder may have stood still between its look and its word, and been behind with what it reads.
constexpr Millis looked_at_most_ago{30'000};
constexpr Millis clocks_apart{2'000};

}  // namespace

void ProofOracle::on_step(const fleet::ActionEvent& event) {
  const fleet::Action& action = event.action;
  const fleet::ActionState before = std::exchange(states_[action.id], action.state);
  const bool is_proof = action.state == fleet::ActionState::in_effect && before != action.state;
  if (!is_proof || action.level < fleet::HoldLevel::isolate || !action.certificates.empty()) return;
  ++proofs_;
  check_sessions(action.thing, "is proven to be off");
  check_evidence(action);
  Proven& proven = proven_[action.thing];
  if (action.access_version > proven.version) proven = {action.access_version, universe_.now()};
}

void ProofOracle::check_sessions(const std::string& thing, std::string_view why) const {
  for (const auto& [connection, session] : sessions_) {
    if (session.thing == thing && network_.is_open(connection))
      universe_.fail(fmt::format("{} {}, and {} has a session of it", thing, why, session.gateway));
  }
}

void ProofOracle::check_evidence(const fleet::Action& action) const {
  for (const auto& [gateway, heard] : heard_) {
    if (heard.stopped || heard.first + looked_at_most_ago > universe_.now()) continue;
    const bool is_named = std::any_of(action.evidence.begin(), action.evidence.end(), [&gateway](const auto& e) {
      return e.good && e.where == gateway && (e.kind == "probe" || e.kind == "gateway");
    });
    if (!is_named) universe_.fail(fmt::format("the proof of {} does not name {}", action.thing, gateway));
  }
}

void ProofOracle::on_admission(const std::string& gateway, const std::string& thing, std::uint64_t connection) {
  sessions_[connection] = {gateway, thing};
  const auto proven = proven_.find(thing);
  if (proven != proven_.end() && access_.keeps_out_since(thing, proven->second.version))
    universe_.fail(fmt::format("{} admits {}, which is proven to be off", gateway, thing));
}

void ProofOracle::on_write(const Written& written) {
  for (const bus::Record& r : written.records) {
    if (r.topic == fleet::topic::gateways) take_heartbeat(r);
    else if (r.topic == fleet::topic::devices && bus::find_header(r.headers, fleet::header::kind) == "report")
      take_report(r);
  }
}

void ProofOracle::take_heartbeat(const bus::Record& record) {
  const auto event = fleet::parse_cloud_event(record.value.value_or(""));
  const auto heartbeat =
      event ? fleet::gateway_heartbeat_from_json(event->data) : Result<fleet::GatewayHeartbeat>(event.error());
  if (!heartbeat) return universe_.fail("an unreadable heartbeat: " + heartbeat.error().message);
  Heard& heard = heard_[heartbeat->instance];
  if (heard.stopped && !heartbeat->stopping) heard.first = universe_.now();
  heard.stopped = heartbeat->stopping;
}

void ProofOracle::take_report(const bus::Record& record) {
  const auto proven = proven_.find(record.key);
  if (proven == proven_.end() || !access_.keeps_out_since(record.key, proven->second.version)) return;
  const auto received = bus::find_header(record.headers, fleet::header::received_ms).value_or("");
  const Instant taken = instant_from_ms(std::atoll(std::string(received).c_str()));
  if (taken > proven->second.time + clocks_apart)
    universe_.fail(fmt::format("{} took a report of {}, which is proven to be off",
                               bus::find_header(record.headers, fleet::header::source).value_or("?"), record.key));
}

void ProofOracle::at_rest() const {
  for (const auto& [connection, session] : sessions_) {
    const fleet::AccessRecord* record = access_.newest(session.thing);
    if (record != nullptr && access::keeps_out(access::strictest(*record))) check_sessions(session.thing, "is held");
  }
}

}  // namespace fleetward::simulation
