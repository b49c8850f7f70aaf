#include "detect/judge.hpp"

#include <algorithm>
#include <bit>

#include "crypto/digest.hpp"
#include "detect/engine.hpp"
#include "detect/words.hpp"

namespace fleetward::detect {
namespace {

using fleet::MetricValue;
using fleet::ViolationEventType;
constexpr std::uint8_t streak_max = 100;  // beyond what any behavior asks for

std::optional<std::int64_t> counter_of(const report::Report& r, Metric metric) {
  switch (metric) {
    case Metric::all_bytes_out:
      return r.bytes_out;
    case Metric::all_bytes_in:
      return r.bytes_in;
    case Metric::all_packets_out:
      return r.packets_out;
    case Metric::all_packets_in:
      return r.packets_in;
    case Metric::num_listening_tcp_ports:
      return r.tcp_ports_total;
    case Metric::num_listening_udp_ports:
      return r.udp_ports_total;
    case Metric::num_established_tcp_connections:
      return r.connections_total;
    default:
      return std::nullopt;
  }
}

constexpr std::int64_t any_time = -1;
constexpr std::int64_t not_counted = std::numeric_limits<std::int64_t>::max();

std::int64_t counted_since(const std::vector<CountedSince>& counted, const fleet::DimensionVersion& dimension) {
  const auto at = std::find_if(counted.begin(), counted.end(), [&](const auto& c) { return c.dimension == dimension; });
  return at == counted.end() ? not_counted : at->pane;
}

std::int64_t since_of(const Ring& ring, const std::vector<CountedSince>& counted) {
  return ring.scope.is_whole() ? any_time : counted_since(counted, ring.scope.dimension);
}

// Whether `panes` of the ring up to the open one were all seen, and counted: only then is little traffic little.
bool is_whole(const RingView& view, std::int64_t pane, int panes, std::int64_t outage_pane_last, std::int64_t since) {
  const std::int64_t begin = pane - panes + 1;
  return view.covers(pane, panes) && begin > outage_pane_last && since < begin;
}

MetricValue count_value(double value) {
  MetricValue v;
  v.count = static_cast<std::int64_t>(std::min(value, 9e18));
  return v;
}

MetricValue value_of(const CompiledBehavior& b, double value) {
  if (b.metric != Metric::custom) return count_value(value);
  MetricValue v;
  v.number = value;
  return v;
}

// A pane's value as a word of state: 0 is none, which no number gives.
std::uint64_t vote_word(double value) { return ~std::bit_cast<std::uint64_t>(value); }
double value_of_vote(std::uint64_t word) { return std::bit_cast<double>(~word); }

}  // namespace

std::string violation_id(const Device& device, const CompiledBehavior& b, std::int32_t partition, const Alarm& alarm) {
  return crypto::id_from(device.thing_id.empty() ? device.name : device.thing_id, b.profile->name, b.source->name,
                         std::to_string(partition), std::to_string(alarm.offset), std::to_string(alarm.start_ms));
}

// The bucket's edge on the side of silence: the sketch's error alone makes no alarm.
std::optional<double> Judge::threshold_of(const CompiledBehavior& b) const {
  if (!b.statistical) return b.threshold;
  const fleet::CohortSnapshot* snapshot = cohorts_.judging(b.cohort, moment_.pane);
  if (snapshot == nullptr) return std::nullopt;
  const fleet::CohortSnapshot::Range& range = snapshot->statistics[b.statistic];
  return is_upper_bound(b.op) ? range.high : range.low;
}

std::string Judge::expected_of(const CompiledBehavior& b) const {
  const fleet::CohortSnapshot* snapshot = b.statistical ? cohorts_.judging(b.cohort, moment_.pane) : nullptr;
  if (snapshot == nullptr) return describe_expected(*b.source);
  return describe_expected(*b.source, *threshold_of(b), *snapshot);
}

fleet::ViolationEvent Judge::event(ViolationEventType type, const Alarm& alarm) const {
  const CompiledBehavior& b = program_.behaviors[alarm.behavior];
  fleet::ViolationEvent e;
  e.violation_id = violation_id(device_, b, moment_.partition, alarm);
  e.type = type;
  e.thing = device_.name;
  e.thing_id = device_.thing_id;
  e.profile = b.profile->name;
  e.profile_version = b.profile->version;
  e.manifest = moment_.manifest;
  e.behavior = *b.source;
  e.time = moment_.time;
  e.start_time = instant_from_ms(alarm.start_ms);
  e.expected = expected_of(b);
  e.gateway_seen = b.metric != Metric::custom && info(b.metric).side == MetricSide::cloud;
  const std::int64_t claimed_ms = device_.claimed_ms;
  e.claimed = !e.gateway_seen && claimed_ms != never &&
              moment_.observed_seconds * 1000 - claimed_ms < claimed_counts_for.count();
  e.partition = moment_.partition;
  e.offset = moment_.offset;
  e.received = moment_.received;
  e.groups = device_.facts->groups;
  e.thing_type = device_.facts->thing_type;
  e.firmware = device_.facts->firmware;
  e.engine_version = engine_version;
  return e;
}

template <class SeenFunction>
void Judge::datapoint(std::size_t index, bool conform, SeenFunction seen, bool clear_at_once) {
  const CompiledBehavior& b = program_.behaviors[index];
  BehaviorState s = unpack(device_.state[index]);
  s.last_seconds = static_cast<std::uint32_t>(moment_.observed_seconds);
  s.good = conform ? static_cast<std::uint8_t>(std::min<int>(s.good + 1, streak_max)) : std::uint8_t{0};
  s.bad = conform ? std::uint8_t{0} : static_cast<std::uint8_t>(std::min<int>(s.bad + 1, streak_max));
  const bool raises = s.in_alarm == 0 && !conform && s.bad >= b.datapoints_to_alarm;
  const bool clears = s.in_alarm != 0 && conform && (s.good >= b.datapoints_to_clear || clear_at_once);
  if (raises || clears) {
    s.in_alarm = raises ? 1 : 0;
    Alarm alarm{static_cast<std::uint16_t>(index), moment_.offset, to_ms(moment_.time)};
    if (raises) {
      device_.alarms.push_back(alarm);
    } else {
      const auto at = std::find_if(device_.alarms.begin(), device_.alarms.end(),
                                   [&](const Alarm& a) { return a.behavior == index; });
      if (at != device_.alarms.end()) {
        alarm = *at;
        device_.alarms.erase(at);
      }
    }
    fleet::ViolationEvent e = event(raises ? ViolationEventType::in_alarm : ViolationEventType::alarm_cleared, alarm);
    e.value = seen();
    e.seen = describe_seen(*b.source, *e.value);
    e.datapoints = raises ? s.bad : s.good;
    if (clears) e.reason = "conforms again";
    out_.push_back(std::move(e));
  }
  device_.state[index] = pack(s);
}

void Judge::number(std::size_t index, double value, bool conform) {
  datapoint(index, conform, [&] { return value_of(program_.behaviors[index], value); });
}

void Judge::told(std::size_t index, double value) {
  const CompiledBehavior& b = program_.behaviors[index];
  if (b.statistical) keep_for_vote(b, value);
  if (const auto threshold = threshold_of(b)) number(index, value, conforms(b.op, value, *threshold));
}

// The last value of the pane; of message sizes the one nearest to breaking the rule.
void Judge::keep_for_vote(const CompiledBehavior& b, double value) {
  std::uint64_t& word = device_.state[b.vote_word];
  if (word != 0 && b.kind == MetricKind::per_message) {
    const double before = value_of_vote(word);
    value = is_upper_bound(b.op) ? std::max(before, value) : std::min(before, value);
  }
  word = vote_word(value);
}

void Judge::invalidate(std::size_t alarm, std::string_view reason) {
  const Alarm ended = device_.alarms[alarm];
  fleet::ViolationEvent e = event(ViolationEventType::alarm_invalidated, ended);
  e.reason = reason;
  out_.push_back(std::move(e));
  device_.alarms.erase(device_.alarms.begin() + static_cast<std::ptrdiff_t>(alarm));
  BehaviorState s = unpack(device_.state[ended.behavior]);
  s.in_alarm = s.bad = s.good = 0;
  device_.state[ended.behavior] = pack(s);
}

// Adds to the open pane; a sum that an upper bound no longer allows decides the pane now.
void Judge::add_to_ring(const Ring& ring, double value) {
  RingView view(ring, device_.state);
  view.add(moment_.pane, value);
  for (const std::uint16_t index : ring.behaviors) {
    const CompiledBehavior& b = program_.behaviors[index];
    BehaviorState s = unpack(device_.state[index]);
    if (!is_upper_bound(b.op) || s.decided != 0) continue;
    const auto threshold = threshold_of(b);
    const double sum = view.sum(moment_.pane, b.panes);
    if (!threshold || conforms(b.op, sum, *threshold)) continue;
    s.decided = 1;
    device_.state[index] = pack(s);
    number(index, sum, false);
  }
}

void Judge::close_pane(bool covered, std::int64_t outage_pane_last, const std::vector<CountedSince>& counted) {
  for (const Ring& ring : program_.rings) {
    const std::int64_t since = since_of(ring, counted);
    if (covered && info(ring.metric).side == MetricSide::cloud && since != not_counted) {
      RingView(ring, device_.state).mark_present(moment_.pane);
    }
    close_ring(ring, outage_pane_last, since);
  }
  vote(outage_pane_last, counted);
}

void Judge::close_ring(const Ring& ring, std::int64_t outage_pane_last, std::int64_t since) {
  const RingView view(ring, device_.state);
  for (const std::uint16_t index : ring.behaviors) {
    const CompiledBehavior& b = program_.behaviors[index];
    BehaviorState s = unpack(device_.state[index]);
    if (s.decided != 0) {
      s.decided = 0;
      device_.state[index] = pack(s);
      continue;
    }
    const auto threshold = threshold_of(b);
    if (!threshold || !view.is_present(moment_.pane)) continue;
    const double sum = view.sum(moment_.pane, b.panes);
    const bool conform = conforms(b.op, sum, *threshold);
    // Too little is too little only of a time that was seen whole.
    if (!conform && !is_upper_bound(b.op) && !is_whole(view, moment_.pane, b.panes, outage_pane_last, since)) continue;
    number(index, sum, conform);
  }
}

// A sum votes for a time that was seen whole: what a device did in a part of it is not usual of anybody.
void Judge::vote(std::int64_t outage_pane_last, const std::vector<CountedSince>& counted) {
  for (const Vote& v : program_.votes) {
    if (!v.is_summed) {
      std::uint64_t& word = device_.state[v.word];
      if (word != 0) cohorts_.vote(v.cohort, value_of_vote(word));
      word = 0;
      continue;
    }
    const Ring& ring = program_.rings[v.ring];
    const RingView view(ring, device_.state);
    if (!view.is_present(moment_.pane)) continue;
    if (!is_whole(view, moment_.pane, v.panes, outage_pane_last, since_of(ring, counted))) continue;
    cohorts_.vote(v.cohort, view.sum(moment_.pane, v.panes));
  }
}

void Judge::minutes_away(std::int64_t minutes) {
  for (const std::uint16_t index : program_.on_pane) {
    const CompiledBehavior& b = program_.behaviors[index];
    const auto value = static_cast<double>(minutes);
    number(index, value, conforms(b.op, value, b.threshold));
  }
}

void Judge::ports(std::size_t index, const std::vector<std::uint16_t>& list) {
  const CompiledBehavior& b = program_.behaviors[index];
  const auto breaks = [&b](std::uint16_t port) {
    return std::binary_search(b.ports.begin(), b.ports.end(), port) == b.negated;
  };
  const bool conform = std::none_of(list.begin(), list.end(), breaks);
  datapoint(
      index, conform,
      [&] {
        MetricValue v;
        v.ports.emplace();
        for (const std::uint16_t port : list) {
          if (v.ports->size() < seen_items_max && (conform || breaks(port))) v.ports->push_back(port);
        }
        return v;
      },
      list.empty());
}

template <class AddressAt>
void Judge::addresses(std::size_t index, std::size_t count, AddressAt at, bool empty_clears) {
  const CompiledBehavior& b = program_.behaviors[index];
  bool conform = true;
  for (std::size_t i = 0; i < count && conform; ++i) conform = b.cidrs.contains(at(i)) != b.negated;
  datapoint(
      index, conform,
      [&] {
        MetricValue v;
        v.cidrs.emplace();
        for (std::size_t i = 0; i < count && v.cidrs->size() < seen_items_max; ++i) {
          const bool breaks = b.cidrs.contains(at(i)) == b.negated;
          std::string text = report::to_text(at(i));
          const bool known = std::find(v.cidrs->begin(), v.cidrs->end(), text) != v.cidrs->end();
          if ((conform || breaks) && !known) v.cidrs->push_back(std::move(text));
        }
        return v;
      },
      empty_clears && count == 0);
}

void Judge::custom(const report::Report& r, const report::CustomMetricValue& value) {
  for (const std::uint16_t index : program_.on_custom[value.metric]) {
    const CompiledBehavior& b = program_.behaviors[index];
    const std::size_t end = value.first + value.count;
    switch (b.kind) {
      case MetricKind::numbers:
      case MetricKind::strings: {
        const bool numeric = b.kind == MetricKind::numbers;
        const auto breaks = [&](std::size_t i) {
          const bool in = numeric ? std::binary_search(b.numbers.begin(), b.numbers.end(), r.numbers[i])
                                  : std::binary_search(b.strings.begin(), b.strings.end(), r.strings[i]);
          return in == b.negated;
        };
        bool conform = true;
        for (std::size_t i = value.first; i < end && conform; ++i) conform = !breaks(i);
        datapoint(
            index, conform,
            [&] {
              MetricValue v;
              if (numeric) v.numbers.emplace();
              else v.strings.emplace();
              std::size_t shown = 0;
              for (std::size_t i = value.first; i < end && shown < seen_items_max; ++i) {
                if (!conform && !breaks(i)) continue;
                ++shown;
                if (numeric) v.numbers->push_back(r.numbers[i]);
                else v.strings->emplace_back(r.strings[i].substr(0, 256));
              }
              return v;
            },
            value.count == 0);
        break;
      }
      case MetricKind::addresses:
        addresses(
            index, value.count, [&](std::size_t i) { return r.addresses[value.first + i]; }, true);
        break;
      default:
        told(index, value.number);
    }
  }
}

void Judge::report(const report::Report& r) {
  for (const std::uint16_t index : program_.on_report) {
    const CompiledBehavior& b = program_.behaviors[index];
    switch (b.metric) {
      case Metric::listening_tcp_ports:
        if (r.tcp_ports.present) ports(index, r.tcp_ports.items);
        break;
      case Metric::listening_udp_ports:
        if (r.udp_ports.present) ports(index, r.udp_ports.items);
        break;
      case Metric::destination_ip_addresses:
        if (r.connections.present) {
          addresses(
              index, r.connections.items.size(), [&](std::size_t i) { return r.connections.items[i].remote.address; },
              true);
        }
        break;
      default:
        if (const auto value = counter_of(r, b.metric)) told(index, static_cast<double>(*value));
    }
  }
  for (const std::uint16_t ring : program_.report_rings) {
    const auto value = counter_of(r, program_.rings[ring].metric);
    if (value) add_to_ring(program_.rings[ring], static_cast<double>(*value));
  }
  for (const report::CustomMetricValue& value : r.customs) custom(r, value);
}

namespace {

// What of the record is in the scope: of the whole, once; of a part, each time that its very version is named.
template <class Take>
void for_each_in(const fleet::CloudMetrics& m, const Scope& scope, Take take) {
  if (scope.is_whole()) return take(m.metrics, m.source_addresses);
  for (const fleet::DimensionDelta& d : m.dimensions) {
    if (d.negated == scope.negated && d.dimension == scope.dimension) take(d.metrics, d.source_addresses);
  }
}

}  // namespace

void Judge::cloud(const fleet::CloudMetrics& m) {
  for (const std::uint16_t index : program_.cloud_rings) {
    const Ring& ring = program_.rings[index];
    for_each_in(m, ring.scope, [&](const auto& metrics, const auto&) {
      const auto at = metrics.find(std::string(info(ring.metric).name));
      if (at != metrics.end()) add_to_ring(ring, static_cast<double>(at->second.count));
    });
  }
  for (const std::uint16_t index : program_.on_cloud) {
    const CompiledBehavior& b = program_.behaviors[index];
    for_each_in(m, b.scope, [&](const auto& metrics, const auto& source_addresses) {
      if (b.metric == Metric::message_byte_size) message_sizes(index, metrics);
      else addresses_of(index, source_addresses);
    });
  }
}

// Of the messages in the delta, the one nearest to breaking the rule speaks for all.
void Judge::message_sizes(std::size_t index, const std::map<std::string, fleet::MetricDelta>& metrics) {
  const CompiledBehavior& b = program_.behaviors[index];
  const auto at = metrics.find(std::string(info(b.metric).name));
  if (at == metrics.end() || at->second.count == 0) return;
  told(index, is_upper_bound(b.op) ? at->second.max : at->second.min);
}

void Judge::addresses_of(std::size_t index, const std::vector<std::string>& texts) {
  std::vector<report::IpAddress> list;
  for (const std::string& text : texts) {
    if (const auto address = report::parse_ip(text)) list.push_back(*address);
  }
  if (list.empty()) return;
  addresses(
      index, list.size(), [&](std::size_t i) { return list[i]; }, false);
}

}  // namespace fleetward::detect
