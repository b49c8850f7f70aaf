// What the engine keeps of one device, and how it stands in a checkpoint.
//
// One flat block of words whose layout the device's program gives (a word a behavior, then the rings; learned baselines
// will be further sections of it), beside what holds for the device as a whole. Belongs to one engine.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "detect/program.hpp"

namespace fleetward::detect {

constexpr std::size_t remembered_reports = 16;  // of a device, for retransmissions
constexpr std::size_t remembered_gateways = 4;  // of a device, for repeated deltas
constexpr std::size_t remembered_origins = 4;   // of a device, for collected reports that are read again
constexpr std::int64_t never = 0;

// What the registry says of a thing. Shared by all devices for which it is the same.
struct Facts {
  bool registered = false;
  std::string thing_type;
  std::string firmware;
  std::vector<std::string> groups;  // sorted
  friend auto operator<=>(const Facts&, const Facts&) = default;
};

// A behavior's word of state.
struct BehaviorState {
  std::uint8_t bad = 0;      // datapoints in a row that broke it, up to a limit
  std::uint8_t good = 0;     // that conformed
  std::uint8_t decided = 0;  // the open pane has had its datapoint already
  std::uint8_t in_alarm = 0;
  std::uint32_t last_seconds = 0;  // of the last datapoint, observed time
};
inline std::uint64_t pack(const BehaviorState& s) {
  return s.bad | std::uint64_t{s.good} << 8 | std::uint64_t{s.decided} << 16 | std::uint64_t{s.in_alarm} << 24 |
         std::uint64_t{s.last_seconds} << 32;
}

inline BehaviorState unpack(std::uint64_t w) {
  const auto byte = [w](int at) { return static_cast<std::uint8_t>(w >> at); };
  return {byte(0), byte(8), byte(16), byte(24), static_cast<std::uint32_t>(w >> 32)};
}

struct Alarm {
  std::uint16_t behavior = 0;
  // Of the record that raised it, and when: with thing, profile and behavior they give the violation's id.
  std::int64_t offset = 0;
  std::int64_t start_ms = 0;
};

// The place of a delta in its gateway's sequence.
struct GatewayMark {
  std::uint16_t gateway = 0;  // place in the partition's list
  std::int64_t start_number = 0;
  std::int64_t sequence = 0;
};

// The last report of a place in a source's log.
struct OriginMark {
  std::uint64_t origin = 0;  // hash of source, topic and partition
  std::int64_t offset = 0;
};

struct Device {
  std::string name;
  std::string thing_id;  // of the registry; kept after deletion
  std::int64_t version = 0;
  bool deleted = false;
  bool dirty = false;          // changed since the last checkpoint
  bool connected = false;      // as its last delta said
  bool cloud_in_pane = false;  // a gateway saw it in the open pane
  std::uint16_t gateway = 0;   // of the last delta
  std::uint8_t next_report = 0;
  std::int64_t gateway_start = 0;
  std::int64_t away_since_ms = never;  // observed time; only while not connected
  std::int64_t last_seen_ms = never;   // observed time
  std::shared_ptr<const Facts> facts;
  std::shared_ptr<const Program> program;
  std::vector<std::uint64_t> state;
  std::vector<Alarm> alarms;
  std::vector<GatewayMark> gateways;
  std::vector<OriginMark> origins;
  std::int64_t claimed_ms = never;                          // observed time of the last report for which nobody vouched
  std::array<std::uint64_t, remembered_reports> reports{};  // hash, whether it was sent again, packet id
};

// A ring's bookkeeping word and its panes, in place.
class RingView {
 public:
  RingView(const Ring& ring, std::vector<std::uint64_t>& state) : words_(&state[ring.word]), panes_(ring.panes) {}

  void add(std::int64_t pane, double value);  // to the open pane, which then is present
  void mark_present(std::int64_t pane);       // nothing happened in it, and that is known
  [[nodiscard]] bool is_present(std::int64_t pane) const { return (present() >> slot(pane) & 1) != 0; }
  // Over the last `panes` panes that are present, oldest first.
  [[nodiscard]] double sum(std::int64_t pane, int panes) const;
  // Whether the ring had begun before the window of `panes` panes that ends with `pane`.
  [[nodiscard]] bool covers(std::int64_t pane, int panes) const;
  [[nodiscard]] bool is_empty() const { return words_[0] == 0; }
  void advance(std::int64_t from, std::int64_t to);  // clears the panes after `from` up to `to`
  void copy_from(const RingView& other, std::int64_t pane);

 private:
  [[nodiscard]] unsigned slot(std::int64_t pane) const { return static_cast<unsigned>(pane % panes_); }
  [[nodiscard]] std::uint32_t present() const { return static_cast<std::uint32_t>(words_[0]) & 0xffff; }
  [[nodiscard]] std::int64_t first() const { return static_cast<std::int64_t>(words_[0] >> 16); }
  [[nodiscard]] double value(std::int64_t pane) const;
  void set_value(std::int64_t pane, double value);
  std::uint64_t* words_;  // first pane with data << 16 | a bit a present slot
  int panes_;
};

// Version 2 of the checkpoint of a device; version 1, without origins and claims, is read too. `program` is the one
// that its facts give under the partition's manifest.
std::string encode(const Device& device);

// Facts as they stand in a checkpoint: the same bytes are the same facts. Views into it.
struct FactsBytes {
  bool registered = false;
  std::string_view bytes;
};

// Reads all but name, facts and program. What program the state is of is not known yet: its fingerprint is put behind
// the state's words, from where take_fingerprint() takes it.
Result<FactsBytes> decode(std::string_view bytes, Device& device);
Facts decode_facts(const FactsBytes& facts);  // of what decode() has found good
// Whether the state is of the device's program, which has been set meanwhile.
Status take_fingerprint(Device& device);

}  // namespace fleetward::detect
