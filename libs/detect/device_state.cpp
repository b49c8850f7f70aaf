#include "detect/device_state.hpp"

#include <bit>

#include "detect/codec.hpp"

namespace fleetward::detect {
namespace {

constexpr std::uint8_t format_version = 2;
constexpr std::uint8_t without_origins = 1;  // the version before
constexpr std::size_t groups_max = 256;

Error broken() { return {ErrorCode::corrupted, "device checkpoint is not what was written"}; }

}  // namespace

double RingView::value(std::int64_t pane) const { return std::bit_cast<double>(words_[1 + slot(pane)]); }
void RingView::set_value(std::int64_t pane, double v) { words_[1 + slot(pane)] = std::bit_cast<std::uint64_t>(v); }

void RingView::mark_present(std::int64_t pane) {
  const std::int64_t begun = first() == 0 ? pane : first();
  words_[0] = static_cast<std::uint64_t>(begun) << 16 | present() | 1ULL << slot(pane);
}

void RingView::add(std::int64_t pane, double v) {
  mark_present(pane);
  set_value(pane, value(pane) + v);
}

double RingView::sum(std::int64_t pane, int panes) const {
  double total = 0;
  for (std::int64_t p = pane - panes + 1; p <= pane; ++p) {
    if (p >= 0 && is_present(p)) total += value(p);
  }
  return total;
}

bool RingView::covers(std::int64_t pane, int panes) const { return first() != 0 && first() < pane - panes + 1; }

void RingView::advance(std::int64_t from, std::int64_t to) {
  for (std::int64_t p = to - from > panes_ ? to - panes_ + 1 : from + 1; p <= to; ++p) {
    words_[0] &= ~(1ULL << slot(p));
    set_value(p, 0);
  }
}

void RingView::copy_from(const RingView& other, std::int64_t pane) {
  const int shared = std::min(panes_, other.panes_);
  for (std::int64_t p = pane - shared + 1; p <= pane; ++p) {
    if (p < 0 || !other.is_present(p)) continue;
    mark_present(p);
    set_value(p, other.value(p));
  }
  if (other.first() != 0) words_[0] = static_cast<std::uint64_t>(other.first()) << 16 | present();
}

std::string encode(const Device& d) {
  Writer w;
  w.u8(format_version);
  w.text(d.thing_id);
  w.i64(d.version);
  w.u8(static_cast<std::uint8_t>(d.deleted | d.connected << 1 | d.cloud_in_pane << 2 | d.facts->registered << 3));
  w.text(d.facts->thing_type);
  w.text(d.facts->firmware);
  w.u16(static_cast<std::uint16_t>(d.facts->groups.size()));
  for (const std::string& group : d.facts->groups) w.text(group);
  w.u16(d.gateway);
  w.i64(d.gateway_start);
  w.i64(d.away_since_ms);
  w.i64(d.last_seen_ms);
  w.u8(static_cast<std::uint8_t>(d.gateways.size()));
  for (const GatewayMark& mark : d.gateways) {
    w.u16(mark.gateway);
    w.i64(mark.start_number);
    w.i64(mark.sequence);
  }
  w.u8(d.next_report);
  for (const std::uint64_t report : d.reports) w.u64(report);
  w.u8(static_cast<std::uint8_t>(d.origins.size()));
  for (const OriginMark& mark : d.origins) {
    w.u64(mark.origin);
    w.i64(mark.offset);
  }
  w.i64(d.claimed_ms);
  w.u16(static_cast<std::uint16_t>(d.alarms.size()));
  for (const Alarm& alarm : d.alarms) {
    w.u16(alarm.behavior);
    w.i64(alarm.offset);
    w.i64(alarm.start_ms);
  }
  w.u64(d.program->fingerprint);
  w.u32(static_cast<std::uint32_t>(d.state.size()));
  for (const std::uint64_t word : d.state) w.u64(word);
  return w.take();
}

Result<Facts> DeviceDecoder::read_facts(Device& d) {
  Reader r(bytes_);
  const std::uint8_t version = r.u8();
  if (version != format_version && version != without_origins)
    return Error(ErrorCode::unsupported, fmt::format("device checkpoint has version {}, this program knows {}: run the "
                                                     "fleetward that wrote it, or a newer one",
                                                     version, format_version));
  d.thing_id = r.text();
  d.version = r.i64();
  const std::uint8_t flags = r.u8();
  d.deleted = (flags & 1) != 0;
  d.connected = (flags & 2) != 0;
  d.cloud_in_pane = (flags & 4) != 0;
  Facts facts;
  facts.registered = (flags & 8) != 0;
  facts.thing_type = r.text();
  facts.firmware = r.text();
  const std::size_t groups = r.u16();
  if (groups > groups_max) return broken();
  for (std::size_t i = 0; i < groups; ++i) facts.groups.push_back(r.text());
  d.gateway = r.u16();
  d.gateway_start = r.i64();
  d.away_since_ms = r.i64();
  d.last_seen_ms = r.i64();
  const std::size_t marks = r.u8();
  if (marks > remembered_gateways) return broken();
  for (std::size_t i = 0; i < marks; ++i) {
    GatewayMark& mark = d.gateways.emplace_back();
    mark.gateway = r.u16();
    mark.start_number = r.i64();
    mark.sequence = r.i64();
  }
  d.next_report = r.u8() % remembered_reports;
  for (std::uint64_t& report : d.reports) report = r.u64();
  const std::size_t origins = version == without_origins ? 0 : r.u8();
  if (origins > remembered_origins) return broken();
  for (std::size_t i = 0; i < origins; ++i) {
    OriginMark& mark = d.origins.emplace_back();
    mark.origin = r.u64();
    mark.offset = r.i64();
  }
  if (version != without_origins) d.claimed_ms = r.i64();
  const std::size_t alarms = r.u16();
  for (std::size_t i = 0; i < alarms && !r.failed(); ++i) {
    Alarm& alarm = d.alarms.emplace_back();
    alarm.behavior = r.u16();
    alarm.offset = r.i64();
    alarm.start_ms = r.i64();
  }
  fingerprint_ = r.u64();
  const std::size_t words = r.u32();
  for (std::size_t i = 0; i < words && !r.failed(); ++i) state_.push_back(r.u64());
  if (!r.finished()) return broken();
  return facts;
}

Status DeviceDecoder::finish(Device& d) {
  if (d.program->fingerprint != fingerprint_ || d.program->state_words != state_.size()) {
    return Error(ErrorCode::corrupted, "device checkpoint is of other rules than the partition's");
  }
  for (const Alarm& alarm : d.alarms) {
    if (alarm.behavior >= d.program->behaviors.size()) return broken();
  }
  d.state = std::move(state_);
  return {};
}

}  // namespace fleetward::detect
