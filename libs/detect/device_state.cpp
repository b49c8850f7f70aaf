#include "detect/device_state.hpp"

#include <algorithm>
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
  constexpr std::size_t beside_state = 320;  // usually
  Writer w;
  w.reserve(beside_state + d.state.size() * sizeof(std::uint64_t));
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
  w.words(d.state);
  return w.take();
}

namespace {

// Passes over facts; false where there are too many groups.
bool skip_facts(Reader& r) {
  (void)r.text_view();  // type
  (void)r.text_view();  // firmware
  const std::size_t groups = r.u16();
  if (groups > groups_max) return false;
  for (std::size_t i = 0; i < groups; ++i) (void)r.text_view();
  return true;
}

bool read_marks(Reader& r, Device& d) {
  const std::size_t marks = r.u8();
  if (marks > remembered_gateways) return false;
  d.gateways.reserve(marks);
  for (std::size_t i = 0; i < marks; ++i) {
    GatewayMark& mark = d.gateways.emplace_back();
    mark.gateway = r.u16();
    mark.start_number = r.i64();
    mark.sequence = r.i64();
  }
  return true;
}

bool read_origins(Reader& r, Device& d) {
  const std::size_t origins = r.u8();
  if (origins > remembered_origins) return false;
  d.origins.reserve(origins);
  for (std::size_t i = 0; i < origins; ++i) {
    OriginMark& mark = d.origins.emplace_back();
    mark.origin = r.u64();
    mark.offset = r.i64();
  }
  return true;
}

}  // namespace

Result<FactsBytes> decode(std::string_view bytes, Device& d) {
  Reader r(bytes);
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
  FactsBytes facts{(flags & 8) != 0, r.rest()};
  if (!skip_facts(r)) return broken();
  facts.bytes.remove_suffix(r.rest().size());
  d.gateway = r.u16();
  d.gateway_start = r.i64();
  d.away_since_ms = r.i64();
  d.last_seen_ms = r.i64();
  if (!read_marks(r, d)) return broken();
  d.next_report = r.u8() % remembered_reports;
  for (std::uint64_t& report : d.reports) report = r.u64();
  if (version != without_origins) {
    if (!read_origins(r, d)) return broken();
    d.claimed_ms = r.i64();
  }
  const std::size_t alarms = r.u16();
  for (std::size_t i = 0; i < alarms && !r.failed(); ++i) {
    Alarm& alarm = d.alarms.emplace_back();
    alarm.behavior = r.u16();
    alarm.offset = r.i64();
    alarm.start_ms = r.i64();
  }
  const std::uint64_t fingerprint = r.u64();
  r.words(r.u32(), d.state, 1);
  d.state.push_back(fingerprint);
  if (!r.finished()) return broken();
  return facts;
}

Facts decode_facts(const FactsBytes& bytes) {
  Reader r(bytes.bytes);
  Facts facts;
  facts.registered = bytes.registered;
  facts.thing_type = r.text();
  facts.firmware = r.text();
  const std::size_t groups = r.u16();
  for (std::size_t i = 0; i < groups; ++i) facts.groups.push_back(r.text());
  return facts;
}

Status take_fingerprint(Device& d) {
  const std::uint64_t fingerprint = d.state.back();
  d.state.pop_back();
  if (d.program->fingerprint != fingerprint || d.program->state_words != d.state.size()) {
    return Error(ErrorCode::corrupted, "device checkpoint is of other rules than the partition's");
  }
  const bool fits = std::all_of(d.alarms.begin(), d.alarms.end(),
                                [&](const Alarm& alarm) { return alarm.behavior < d.program->behaviors.size(); });
  return fits ? Status() : Status(broken());
}

}  // namespace fleetward::detect
