// The detection engine of one partition: applies the records of topic `devices` in their order, gives violations.
//
// Everything follows from the records: its clock is theirs, its rules come by marks, and nothing that iterates in hash
// order shows. So the same log gives the same violations live, in a test and in a replay, also from any checkpoint on.
//
// Time (design section 5.3): the clock is the largest append time read, capped at clock_ahead_max past the writer's own
// (header fw-received-ms). A hole longer than two ticks is our outage: it is taken out of "observed time", by which the
// devices' silence is measured, and what it touches is not judged for lack of traffic.
//
// Lives on one thread; no locks, no clock, no I/O. Limits: devices_max devices, gateways_max gateways; records that
// would exceed them are dropped and counted. Samples of cohorts wait until they are taken: apply no further records
// while samples_are_full().
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "detect/cohort_board.hpp"
#include "detect/counters.hpp"
#include "detect/judge.hpp"
#include "fleet/device_records.hpp"
#include "fleet/violation.hpp"
#include "report/parser.hpp"

namespace fleetward::detect {

constexpr std::string_view engine_version = "fleetward-detect/4";
constexpr Millis tick_interval{10'000};  // after so many silent seconds the owner appends a tick
constexpr Millis outage_after = 2 * tick_interval;
constexpr Millis clock_ahead_max{60'000};
constexpr Millis invalidate_after{2 * 24 * 3'600'000};
constexpr Millis forget_unregistered_after{14 * 24 * 3'600'000};
constexpr std::size_t devices_max = 4'000'000;  // a partition
constexpr std::size_t gateways_max = 4096;      // instances seen in a partition
constexpr std::size_t seen_items_max = 100;     // elements of a list that a violation shows

// A record of topic `devices`, as the bus gave it. Views last for the call.
struct InputRecord {
  std::int64_t offset = 0;
  Instant append_time;
  std::string_view key;
  std::string_view value;
  std::string_view kind;                   // header fw-kind
  std::string_view thing_id;               // header fw-thing-id; may be empty
  std::string_view content_type;           // empty: JSON
  std::optional<Instant> received;         // header fw-received-ms
  std::optional<std::uint16_t> packet_id;  // of a QoS 1 report
  bool dup = false;
  // Of a collected report: its source and topic, its place in that one's log (-1: it has none), and whether nobody
  // vouches for its thing's name.
  std::string_view origin{};
  std::int32_t origin_partition = -1;
  std::int64_t origin_offset = -1;
  bool claimed = false;
};

struct StateChange {
  std::string key;
  std::optional<std::string> value;  // none: the device is forgotten
};

class PartitionEngine {
 public:
  // Both outlive the engine.
  PartitionEngine(std::int32_t partition, const Rules& rules, const Snapshots& snapshots);
  PartitionEngine(const PartitionEngine&) = delete;
  PartitionEngine& operator=(const PartitionEngine&) = delete;

  // From a checkpoint, before the first record: the devices in any order, a later state of one in the place of an
  // earlier (none: it is forgotten), and then the partition's own record, which makes the engine whole.
  // failed_precondition: what that names of rules and snapshots is not held (yet); it may be tried again. After any
  // other error the engine is of no use.
  Status restore_device(std::string_view key, std::optional<std::string_view> value);
  Status restore_partition(std::string_view record);

  // False for a mark of what is not held whole yet: wait for the rules or the snapshots, then apply.
  [[nodiscard]] bool can_apply(const InputRecord& record) const;
  // Appends the violations that the record decided, sorted. Records come in order of offset.
  void apply(const InputRecord& record, std::vector<fleet::ViolationEvent>& out);

  // States that changed since the last call, and the partition's own record that goes with them: one unit.
  std::vector<StateChange> take_changes();
  [[nodiscard]] std::string partition_record() const;
  // What the devices add to their cohorts in the panes that closed since the last call: part of the same unit.
  std::vector<fleet::CohortSample> take_samples() { return cohorts_.take_samples(); }
  [[nodiscard]] bool samples_are_full() const { return cohorts_.is_full(); }

  [[nodiscard]] std::int64_t next_offset() const { return next_offset_; }
  [[nodiscard]] std::int64_t manifest() const { return manifest_; }
  [[nodiscard]] const CohortBoard& cohorts() const { return cohorts_; }
  [[nodiscard]] Instant clock() const { return instant_from_ms(clock_ms_); }
  [[nodiscard]] const std::string& begin_id() const { return begin_id_; }
  [[nodiscard]] std::size_t device_count() const { return index_.size(); }
  [[nodiscard]] std::size_t state_bytes() const;  // of the devices, roughly
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t behaviors_not_evaluated() const;  // of the programs in use

  // The key of the partition's own record on topic detector-state. Things are named without a slash.
  static std::string partition_key(std::int32_t partition);

 private:
  struct Context {  // of the record being applied
    std::vector<fleet::ViolationEvent>* out = nullptr;
    Moment moment;  // panes that close have their own time
  };

  void advance_clock(const InputRecord& record, Context& context);
  void roll_panes(std::int64_t to, Context& context);
  void close_pane(Device& device, std::int64_t pane, Context& context);
  Outcome apply_report(const InputRecord& record, Context& context);
  Outcome apply_cloud(const InputRecord& record, Context& context);
  Outcome apply_counting(const InputRecord& record);
  Outcome apply_registry(const InputRecord& record, Context& context);
  Outcome apply_begin(const InputRecord& record);
  Outcome apply_tick(const InputRecord& record);
  Outcome apply_mark(const InputRecord& record, Context& context);
  Outcome apply_cohorts(const InputRecord& record);
  [[nodiscard]] bool is_to_apply(const fleet::CohortMark::Snapshot& named) const;
  void go_by_manifest(std::int64_t number);
  Judge judge(Device& device, Context& context) { return {device, context.moment, cohorts_, *context.out}; }
  [[nodiscard]] bool is_of_another_thing(const InputRecord& record, const Device* device) const;
  void reset_for_thing(Device& device, std::string_view reason, Context& context);
  Outcome dispatch(const InputRecord& record, Context& context);

  Status complete_devices();
  Status complete(Device& device);
  const std::shared_ptr<const Facts>& restored_facts(const FactsBytes& facts);

  Device* find(std::string_view name);
  Device& add(std::string_view name);
  Device* find_or_add(std::string_view name);  // nullptr: devices_max
  void forget(Device& device);
  std::optional<std::uint16_t> gateway_index(const std::string& name);
  [[nodiscard]] bool is_connected(const Device& device) const;
  std::shared_ptr<const Facts> intern(Facts facts);
  std::shared_ptr<const Program> program_for(const std::shared_ptr<const Facts>& facts);
  void move_to(Device& device, std::shared_ptr<const Program> program, Context& context);
  void touch(Device& device);
  [[nodiscard]] std::int64_t observed_ms() const { return clock_ms_ - outage_ms_; }

  std::int32_t partition_;
  const Rules& rules_;
  const Snapshots& snapshots_;
  report::ReportParser parser_;

  std::int64_t next_offset_ = 0;
  std::int64_t clock_ms_ = 0;
  std::int64_t outage_ms_ = 0;
  std::int64_t pane_ = 0;
  std::int64_t outage_pane_last_ = -1;  // the last pane that an outage touched
  std::string begin_id_;
  std::int64_t manifest_ = 0;
  report::CustomMetricTable customs_;
  CohortBoard cohorts_;
  Counters counters_;
  struct Gateway {
    std::string name;
    std::int64_t start_number = 0;  // the newest seen
    // What that start has said it counts, by which manifest; -1: nothing yet.
    std::int64_t counting_manifest = -1;
    std::vector<CountedSince> counts{};
  };
  Gateway& gateway_at(std::size_t index, std::int64_t start_number);
  [[nodiscard]] const std::vector<CountedSince>& counted_for(const Device& device) const;
  void note_other_versions(const fleet::CloudMetrics& metrics);
  std::vector<Gateway> gateways_;

  std::deque<Device> devices_;  // slots; addresses stay
  std::vector<Device*> free_;
  boost::unordered_flat_map<std::string_view, Device*> index_;
  std::vector<Device*> dirty_;
  std::vector<std::string> forgotten_;
  std::map<Facts, std::weak_ptr<const Facts>> facts_;
  // While devices are restored: facts by their bytes, and the largest state.
  boost::unordered_flat_map<std::string, std::shared_ptr<const Facts>> restored_facts_;
  std::size_t restored_words_ = 0;
  // Of the manifest in force: programs by the entries that apply, and what each kind of device runs.
  std::map<std::vector<std::size_t>, std::shared_ptr<const Program>> programs_;
  std::map<std::shared_ptr<const Facts>, std::shared_ptr<const Program>> program_of_;
  // Where each behavior of the first program is in the second, -1 where it is not: of the change being made.
  std::map<std::pair<const Program*, const Program*>, std::vector<int>> moves_;
};

}  // namespace fleetward::detect
