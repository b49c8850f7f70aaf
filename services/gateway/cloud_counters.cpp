#include "services/gateway/cloud_counters.hpp"

namespace fleetward::gateway {
namespace {

constexpr std::size_t addresses_max = 16;  // of one span; further ones are the same news

}  // namespace

void CloudCounters::add(Device& d, const char* metric, double value) {
  fleet::MetricDelta& m = d.delta.metrics[metric];
  m.min = m.count == 0 ? value : std::min(m.min, value);
  m.max = m.count == 0 ? value : std::max(m.max, value);
  m.sum += value;
  ++m.count;
  d.dirty = true;
}

void CloudCounters::make_urgent(Device& d) {
  d.dirty = true;
  urgent_ += d.urgent ? 0 : 1;
  d.urgent = true;
}

void CloudCounters::connection_attempt(const std::string& thing, const std::string& address) {
  Device& d = device(thing);
  add(d, "aws:num-connection-attempts", 1);
  auto& seen = d.delta.source_addresses;
  if (std::find(seen.begin(), seen.end(), address) == seen.end() && seen.size() < addresses_max)
    seen.push_back(address);
  make_urgent(d);
}

void CloudCounters::connected(const std::string& thing, const std::string& thing_id) {
  Device& d = device(thing);
  d.thing_id = thing_id;
  d.delta.connected = true;
  make_urgent(d);
}

void CloudCounters::disconnected(const std::string& thing) {
  Device& d = device(thing);
  add(d, "aws:num-disconnects", 1);
  d.delta.connected = false;
  make_urgent(d);
}

void CloudCounters::message_sent(const std::string& thing, std::size_t bytes) {
  Device& d = device(thing);
  add(d, "aws:num-messages-sent", 1);
  add(d, "aws:message-byte-size", static_cast<double>(bytes));
}

void CloudCounters::message_received(const std::string& thing) { add(device(thing), "aws:num-messages-received", 1); }

void CloudCounters::authorization_failure(const std::string& thing) {
  Device& d = device(thing);
  add(d, "aws:num-authorization-failures", 1);
  make_urgent(d);
}

void CloudCounters::emit_due(Instant now, Millis every, const Emit& emit) {
  for (auto entry = devices_.begin(); entry != devices_.end();) {
    Device& d = entry->second;
    if (d.dirty && (d.urgent || now - d.last_emitted >= every)) {
      d.delta.gateway = gateway_;
      d.delta.start_number = start_number_;
      d.delta.sequence = ++d.sequence;
      emit(entry->first, d.thing_id, d.delta);
      d.delta.metrics.clear();
      d.delta.source_addresses.clear();
      d.last_emitted = now;
      d.dirty = d.urgent = false;
    }
    // A device that left may go once its last word is old: a later sequence would start anew, so it is kept for an
    // hour.
    const bool forgotten = !d.dirty && !d.delta.connected && now - d.last_emitted > std::chrono::hours(1);
    entry = forgotten ? devices_.erase(entry) : std::next(entry);
  }
  urgent_ = 0;
}

}  // namespace fleetward::gateway
