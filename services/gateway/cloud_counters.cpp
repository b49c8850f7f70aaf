#include "services/gateway/cloud_counters.hpp"

namespace fleetward::gateway {
namespace {

constexpr std::size_t addresses_max = 16;  // of one span; further ones are the same news
constexpr Millis forget_every{60'000};

// In the order of CloudCounters::Metric.
constexpr std::array<const char*, 6> names = {"aws:num-connection-attempts", "aws:num-disconnects",
                                              "aws:num-messages-sent",       "aws:message-byte-size",
                                              "aws:num-messages-received",   "aws:num-authorization-failures"};

}  // namespace

void CloudCounters::touch(Entry& e, bool urgent) {
  Device& d = e.second;
  d.dirty = true;
  if (!std::exchange(d.listed, true)) changed_.push_back(&e);
  if (urgent && !std::exchange(d.urgent, true)) urgent_.push_back(&e);
}

DimensionCounts& CloudCounters::dimensions(Entry& e) {
  if (!e.second.dimensions) e.second.dimensions = std::make_unique<DimensionCounts>();
  return *e.second.dimensions;
}

void CloudCounters::connection_attempt(const std::string& thing, const std::string& thing_id,
                                       const std::string& address) {
  Entry& e = entry(thing);
  e.second.thing_id = thing_id;
  add(e, connection_attempts, 1);
  auto& seen = e.second.delta.source_addresses;
  if (std::find(seen.begin(), seen.end(), address) == seen.end() && seen.size() < addresses_max)
    seen.push_back(address);
  touch(e, true);
}

void CloudCounters::connected(const std::string& thing) {
  Entry& e = entry(thing);
  e.second.delta.connected = true;
  touch(e, true);
}

void CloudCounters::disconnected(const std::string& thing) {
  Entry& e = entry(thing);
  add(e, disconnects, 1);
  e.second.delta.connected = false;
  touch(e, true);
}

void CloudCounters::message_sent(const std::string& thing, std::size_t bytes, std::string_view topic,
                                 std::string_view address) {
  Entry& e = entry(thing);
  add(e, messages_sent, 1);
  add(e, message_bytes, static_cast<double>(bytes));
  if (plan_ && !topic.empty()) dimensions(e).sent(plan_, thing, topic, bytes, address);
  touch(e, false);
}

void CloudCounters::message_received(const std::string& thing, std::string_view topic) {
  Entry& e = entry(thing);
  add(e, messages_received, 1);
  if (plan_ && !topic.empty()) dimensions(e).received(plan_, thing, topic);
  touch(e, false);
}

void CloudCounters::authorization_failure(const std::string& thing, std::string_view topic) {
  Entry& e = entry(thing);
  add(e, authorization_failures, 1);
  if (plan_ && !topic.empty()) dimensions(e).refused(plan_, thing, topic);
  touch(e, true);
}

void CloudCounters::hand_out(Entry& e, Instant now, const Emit& emit) {
  Device& d = e.second;
  d.delta.gateway = gateway_;
  d.delta.start_number = start_number_;
  d.delta.sequence = ++sequence_;
  static_assert(names.size() == metric_count);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (d.counts[i].count > 0) d.delta.metrics.emplace(names[i], std::exchange(d.counts[i], {}));
  }
  if (d.dimensions) {
    dropped_ += d.dimensions->take_dropped();
    d.dimensions->hand_out(d.delta.dimensions);
    if (!plan_) d.dimensions.reset();
  }
  emit(e.first, d.thing_id, d.delta);
  d.delta.dimensions.clear();
  d.delta.metrics.clear();
  d.delta.source_addresses.clear();
  d.last_emitted = now;
  d.dirty = d.urgent = false;
}

void CloudCounters::emit_urgent(Instant now, const Emit& out) {
  for (Entry* e : std::exchange(urgent_, {})) {
    if (!e->second.urgent) continue;
    if (has_passed(e->second.last_emitted, now, urgent_every)) hand_out(*e, now, out);
    // Otherwise emit_due() comes to it: it stands in changed_.
  }
}

void CloudCounters::emit_due(Instant now, Millis every, const Emit& out) {
  urgent_.clear();  // all of them are in changed_ too
  for (Entry* e : std::exchange(changed_, {})) {
    Device& d = e->second;
    if (d.dirty && has_passed(d.last_emitted, now, d.urgent ? std::min(every, urgent_every) : every)) {
      hand_out(*e, now, out);
    }
    d.listed = d.dirty;
    if (d.dirty) changed_.push_back(e);
  }
  if (has_passed(last_forgetting_, now, forget_every)) forget(now);
}

void CloudCounters::forget(Instant now) {
  last_forgetting_ = now;
  std::erase_if(devices_, [](const Entry& e) { return !e.second.listed && !e.second.delta.connected; });
}

}  // namespace fleetward::gateway
