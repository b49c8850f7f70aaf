#include "detect/engine.hpp"

#include <algorithm>

#include "detect/read_record.hpp"

namespace fleetward::detect {
namespace {

constexpr std::int64_t pane_ms = std::int64_t{pane_seconds} * 1000;

// A device's state is rarely in a cache: fetched while its report is being hashed and parsed.
void prefetch(const void* begin, std::size_t bytes) {
  constexpr std::size_t line = 64;
  for (std::size_t at = 0; at < bytes; at += line) __builtin_prefetch(static_cast<const char*>(begin) + at, 1);
}

}  // namespace

PartitionEngine::PartitionEngine(std::int32_t partition, const Rules& rules, const Snapshots& snapshots)
    : partition_(partition), rules_(rules), snapshots_(snapshots) {}

std::string PartitionEngine::partition_key(std::int32_t partition) { return fmt::format("partition/{}", partition); }

void PartitionEngine::apply(const InputRecord& record, std::vector<fleet::ViolationEvent>& out) {
  const std::size_t first = out.size();
  Context context{&out, {}};
  context.moment.partition = partition_;
  context.moment.offset = record.offset;
  context.moment.received = record.received.value_or(record.append_time);
  context.moment.manifest = manifest_;
  advance_clock(record, context);
  context.moment.time = clock();
  context.moment.observed_seconds = observed_ms() / 1000;
  context.moment.pane = pane_;
  ++counters_[dispatch(record, context)];
  next_offset_ = record.offset + 1;

  // Devices lie in an order that a restore changes; what comes out does not.
  const auto begin = out.begin() + static_cast<std::ptrdiff_t>(first);
  std::stable_sort(begin, out.end(), [](const fleet::ViolationEvent& a, const fleet::ViolationEvent& b) {
    return std::tie(a.thing, a.profile, a.behavior.name) < std::tie(b.thing, b.profile, b.behavior.name);
  });
  for (auto at = begin; at != out.end(); ++at) {
    if (at->type == fleet::ViolationEventType::in_alarm) ++counters_.raised;
    else if (at->type == fleet::ViolationEventType::alarm_cleared) ++counters_.cleared;
    else ++counters_.invalidated;
  }
}

Outcome PartitionEngine::dispatch(const InputRecord& record, Context& context) {
  const auto kind = fleet::parse_record_kind(record.kind);
  if (!kind) return Outcome::unknown_rejected;
  switch (*kind) {
    case fleet::RecordKind::report:
      return apply_report(record, context);
    case fleet::RecordKind::cloud_metrics:
      return apply_cloud(record, context);
    case fleet::RecordKind::registry:
      return apply_registry(record, context);
    case fleet::RecordKind::verdict:
      return Outcome::verdict_dropped;
    case fleet::RecordKind::begin:
      return apply_begin(record);
    case fleet::RecordKind::tick:
      return apply_tick(record);
    case fleet::RecordKind::mark:
      return apply_mark(record, context);
    case fleet::RecordKind::counting:
      return apply_counting(record);
    case fleet::RecordKind::cohorts:
      return apply_cohorts(record);
  }
  return Outcome::unknown_rejected;
}

// --- time ---

void PartitionEngine::advance_clock(const InputRecord& record, Context& context) {
  std::int64_t now = to_ms(record.append_time);
  if (record.received) now = std::min(now, to_ms(*record.received + clock_ahead_max));
  if (now <= clock_ms_) return;
  const std::int64_t before = clock_ms_;
  clock_ms_ = now;
  const std::int64_t pane = now / pane_ms;
  if (before == 0) {
    pane_ = pane;
    return;
  }
  if (now - before > outage_after.count()) {
    outage_ms_ += now - before;
    outage_pane_last_ = pane;
  }
  if (pane > pane_) roll_panes(pane, context);
}

void PartitionEngine::roll_panes(std::int64_t to, Context& context) {
  context.moment.time = instant_from_ms((pane_ + 1) * pane_ms);
  context.moment.observed_seconds = observed_ms() / 1000;
  context.moment.pane = pane_;
  // An outage that ends in `to` may have begun in the pane that closes now.
  for (Device& device : devices_) {
    if (device.name.empty()) continue;
    close_pane(device, to, context);
    const bool silent = observed_ms() - device.last_seen_ms > forget_unregistered_after.count();
    if (silent && !device.facts->registered && !device.deleted && device.alarms.empty()) forget(device);
  }
  cohorts_.close_pane(partition_, pane_);
  pane_ = to;
}

namespace {

// One that the close of the pane takes out of the state.
bool has_vote(const Device& device) {
  const auto& votes = device.program->votes;
  return std::any_of(votes.begin(), votes.end(),
                     [&](const Vote& v) { return !v.is_summed && device.state[v.word] != 0; });
}

}  // namespace

void PartitionEngine::close_pane(Device& device, std::int64_t to, Context& context) {
  if (device.connected && !is_connected(device)) {  // its gateway is gone without having said so
    device.connected = false;
    device.away_since_ms = observed_ms();
    touch(device);
  }
  Judge judge = this->judge(device, context);
  if (!device.program->rings.empty() || !device.program->votes.empty()) {
    if (has_vote(device)) touch(device);
    judge.close_pane(device.connected || device.cloud_in_pane, outage_pane_last_, counted_for(device));
    for (const Ring& ring : device.program->rings) {
      RingView view(ring, device.state);
      if (view.is_empty()) continue;
      view.advance(pane_, to);
      touch(device);
    }
  }
  if (!device.program->on_pane.empty() && (device.connected || device.away_since_ms != never)) {
    judge.minutes_away(device.connected ? 0 : (observed_ms() - device.away_since_ms) / 60'000);
    touch(device);
  }
  if (device.cloud_in_pane) {
    device.cloud_in_pane = false;
    touch(device);
  }
  for (std::size_t i = device.alarms.size(); i-- > 0;) {
    const BehaviorState s = unpack(device.state[device.alarms[i].behavior]);
    if ((context.moment.observed_seconds - s.last_seconds) * 1000 <= invalidate_after.count()) continue;
    judge.invalidate(i, "no metrics for more than 2 days");
    touch(device);
  }
}

// --- what devices and gateways say ---

namespace {

// Where a collected report stands in its source; 0: it stands nowhere.
std::uint64_t origin_of(const InputRecord& record) {
  if (record.origin_offset < 0 || record.origin_partition < 0) return 0;
  const std::uint64_t hash = stable_hash(fmt::format("{}/{}", record.origin, record.origin_partition));
  return hash == 0 ? 1 : hash;
}

// Not above the last one of that place: it has been here.
bool has_passed(const Device& device, std::uint64_t origin, std::int64_t offset) {
  return std::any_of(device.origins.begin(), device.origins.end(),
                     [&](const OriginMark& m) { return m.origin == origin && offset <= m.offset; });
}

void note_origin(Device& device, std::uint64_t origin, std::int64_t offset) {
  std::erase_if(device.origins, [origin](const OriginMark& m) { return m.origin == origin; });
  if (device.origins.size() == remembered_origins) device.origins.erase(device.origins.begin());
  device.origins.push_back({origin, offset});
}

// A report as it is remembered: hash, whether it came marked as sent again, packet id.
constexpr std::uint64_t came_again = 1ULL << 16;

std::uint64_t mark_of(const InputRecord& record) {
  return (stable_hash(record.value) & ~0x1ffffULL) | (record.dup ? came_again : 0) | *record.packet_id;
}

// One that is sent again and was here; and one that is not, whose repetition has overtaken it on the way of another
// gateway: once, for then the identifier is free again.
bool is_remembered(Device& device, std::uint64_t mark) {
  for (std::uint64_t& known : device.reports) {
    if ((known & ~came_again) != (mark & ~came_again)) continue;
    if ((mark & came_again) != 0) return true;
    if ((known & came_again) == 0) continue;
    known &= ~came_again;
    return true;
  }
  return false;
}

}  // namespace

bool PartitionEngine::is_of_another_thing(const InputRecord& record, const Device* device) const {
  if (device == nullptr || record.thing_id.empty() || device->thing_id.empty()) return false;
  // After a deletion only the old id is refused: the thing made anew may report before its fact is read.
  return device->deleted ? record.thing_id == device->thing_id : record.thing_id != device->thing_id;
}

Outcome PartitionEngine::apply_report(const InputRecord& record, Context& context) {
  const auto encoding = report::encoding_of(record.content_type);
  if (!encoding) return Outcome::report_rejected_type;
  Device* device = find(record.key);
  if (device != nullptr) prefetch(device, sizeof(Device));
  if (!fleet::is_valid_name(record.key) || is_of_another_thing(record, device)) return Outcome::report_rejected_thing;
  const std::uint64_t mark = record.packet_id ? mark_of(record) : 0;
  const std::uint64_t origin = origin_of(record);
  if (device != nullptr) prefetch(device->state.data(), device->state.size() * sizeof(std::uint64_t));
  if (device != nullptr && record.packet_id && is_remembered(*device, mark)) {
    touch(*device);
    return Outcome::report_duplicate;
  }
  if (device != nullptr && origin != 0 && has_passed(*device, origin, record.origin_offset))
    return Outcome::report_duplicate;
  const auto report = parser_.parse(as_bytes(record.value), customs_, *encoding);
  if (!report) return Outcome::report_rejected_payload;
  if (device == nullptr) device = find_or_add(record.key);
  if (device == nullptr) return Outcome::report_dropped_full;
  counters_.custom_metric_problems += (*report)->problem_count;
  if (record.claimed) device->claimed_ms = observed_ms();
  if (origin != 0) note_origin(*device, origin, record.origin_offset);
  judge(*device, context).report(**report);
  device->last_seen_ms = observed_ms();
  if (record.packet_id) {
    device->reports[device->next_report] = mark;
    device->next_report = static_cast<std::uint8_t>((device->next_report + 1) % remembered_reports);
  }
  touch(*device);
  return Outcome::report_applied;
}

Outcome PartitionEngine::apply_cloud(const InputRecord& record, Context& context) {
  const auto m = read<fleet::CloudMetrics>(record.value, fleet::cloud_metrics_from_json);
  if (!m || !fleet::is_valid_name(record.key) || is_of_another_thing(record, find(record.key))) {
    return Outcome::cloud_rejected;
  }
  const auto gateway = gateway_index(m->gateway);
  Device* device = gateway ? find_or_add(record.key) : nullptr;
  if (device == nullptr) return Outcome::cloud_dropped_full;

  const auto known = std::find_if(device->gateways.begin(), device->gateways.end(),
                                  [&](const GatewayMark& g) { return g.gateway == *gateway; });
  const GatewayMark mark{*gateway, m->start_number, m->sequence};
  if (known != device->gateways.end()) {
    if (std::tie(mark.start_number, mark.sequence) <= std::tie(known->start_number, known->sequence)) {
      return Outcome::cloud_duplicate;
    }
    device->gateways.erase(known);
  } else if (device->gateways.size() == remembered_gateways) {
    device->gateways.erase(device->gateways.begin());
  }
  device->gateways.push_back(mark);
  gateway_at(*gateway, m->start_number);
  note_other_versions(*m);

  const bool before = is_connected(*device);
  Judge judge = this->judge(*device, context);
  judge.cloud(*m);
  // A gateway that a device has left for another one tells of it late.
  const bool elsewhere = before && device->gateway != *gateway;
  if (m->connected || !elsewhere) {
    device->gateway = *gateway;
    device->gateway_start = m->start_number;
    device->connected = m->connected;
    if (m->connected) device->away_since_ms = never;
    else if (before || device->away_since_ms == never) device->away_since_ms = observed_ms();
    if (m->connected && !before) judge.minutes_away(0);
  }
  device->cloud_in_pane = true;
  device->last_seen_ms = observed_ms();
  touch(*device);
  return Outcome::cloud_applied;
}

// A start that is newer than the one before has said nothing yet of what it counts.
PartitionEngine::Gateway& PartitionEngine::gateway_at(std::size_t index, std::int64_t start_number) {
  Gateway& gateway = gateways_[index];
  if (start_number <= gateway.start_number) return gateway;
  gateway.start_number = start_number;
  gateway.counting_manifest = -1;
  gateway.counts.clear();
  return gateway;
}

Outcome PartitionEngine::apply_counting(const InputRecord& record) {
  auto said = read<fleet::Counting>(record.value, fleet::counting_from_json);
  if (!said) return Outcome::counting_rejected;
  const auto index = gateway_index(said->gateway);
  if (!index) return Outcome::counting_dropped_full;
  Gateway& gateway = gateway_at(*index, said->start_number);
  if (said->start_number < gateway.start_number || said->manifest <= gateway.counting_manifest) {
    return Outcome::counting_duplicate;
  }
  gateway.counting_manifest = said->manifest;
  std::vector<CountedSince> counts;
  for (fleet::DimensionVersion& dimension : said->dimensions) {
    const auto before = std::find_if(gateway.counts.begin(), gateway.counts.end(),
                                     [&](const CountedSince& c) { return c.dimension == dimension; });
    const std::int64_t since = before == gateway.counts.end() ? pane_ : before->pane;
    counts.push_back({std::move(dimension), since});
  }
  gateway.counts = std::move(counts);
  return Outcome::counting_applied;
}

const std::vector<CountedSince>& PartitionEngine::counted_for(const Device& device) const {
  static const std::vector<CountedSince> none;
  if (!device.connected && !device.cloud_in_pane) return none;
  const Gateway& gateway = gateways_[device.gateway];
  return gateway.start_number == device.gateway_start ? gateway.counts : none;
}

void PartitionEngine::note_other_versions(const fleet::CloudMetrics& metrics) {
  const fleet::Manifest& manifest = *rules_.manifest(manifest_);
  for (const fleet::DimensionDelta& d : metrics.dimensions) {
    if (manifest.dimension_version(d.dimension.dimension) != d.dimension.version) ++counters_.other_dimension_counts;
  }
}

bool PartitionEngine::is_connected(const Device& device) const {
  return device.connected && gateways_[device.gateway].start_number == device.gateway_start;
}

std::optional<std::uint16_t> PartitionEngine::gateway_index(const std::string& name) {
  const auto at = std::find_if(gateways_.begin(), gateways_.end(), [&](const Gateway& g) { return g.name == name; });
  if (at != gateways_.end()) return static_cast<std::uint16_t>(at - gateways_.begin());
  if (gateways_.size() >= gateways_max) return std::nullopt;
  gateways_.push_back({name});
  return static_cast<std::uint16_t>(gateways_.size() - 1);
}

}  // namespace fleetward::detect
