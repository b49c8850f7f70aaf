// Cloud-side metrics of devices (reference section 2), counted and handed out as numbered deltas. Pure; the gateway's
// thread.
//
// What is urgent (connect, disconnect, refusal) goes out at once, but of one device at most every urgent_every, so that
// a device that is refused in a loop does not flood the bus; the rest waits for emit_due(). Counters that are not
// handed out go on gathering. Memory: devices with something to tell or connected; the others are forgotten.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/gateway/dimension_counts.hpp"

namespace fleetward::gateway {

class CloudCounters {
 public:
  static constexpr Millis urgent_every{250};

  CloudCounters(std::string gateway, std::int64_t start_number)
      : gateway_(std::move(gateway)), start_number_(start_number) {}

  void connection_attempt(const std::string& thing, const std::string& thing_id, const std::string& address);
  void connected(const std::string& thing);
  void disconnected(const std::string& thing);
  // Where a message went, for the dimensions; what has no topic counts for none of them.
  void message_sent(const std::string& thing, std::size_t bytes, std::string_view topic = {},
                    std::string_view address = {});                              // by the device
  void message_received(const std::string& thing, std::string_view topic = {});  // by the device
  void authorization_failure(const std::string& thing, std::string_view topic = {});

  // What to count apart from now on; nullptr: nothing. What was counted before is told as what it is.
  void set_dimensions(std::shared_ptr<const DimensionPlan> plan) { plan_ = std::move(plan); }
  // Counts of dimensions that had no room, since the last call.
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }

  using Emit = std::function<void(const std::string& thing, const std::string& thing_id, const fleet::CloudMetrics&)>;
  void emit_urgent(Instant now, const Emit& emit);
  // Everything whose last delta is `every` old, and what is urgent.
  void emit_due(Instant now, Millis every, const Emit& emit);
  [[nodiscard]] std::size_t devices() const { return devices_.size(); }

 private:
  enum Metric : std::size_t {
    connection_attempts,
    disconnects,
    messages_sent,
    message_bytes,
    messages_received,
    authorization_failures,
    metric_count
  };
  struct Device {
    std::string thing_id;
    fleet::CloudMetrics delta;  // its metrics are filled in from `counts` when it is handed out
    std::array<fleet::MetricDelta, metric_count> counts{};
    std::unique_ptr<DimensionCounts> dimensions;  // nullptr: it has had no traffic that any looks at
    Instant last_emitted{};
    bool dirty = false;   // has something to tell
    bool urgent = false;  // at once
    bool listed = false;  // stands in changed_
  };
  using Entry = std::pair<const std::string, Device>;  // of an unordered_map: does not move

  Entry& entry(const std::string& thing) { return *devices_.try_emplace(thing).first; }
  static void add(Entry& e, Metric metric, double value) { fleet::add_to(e.second.counts[metric], value); }
  static DimensionCounts& dimensions(Entry& e);
  void touch(Entry& e, bool urgent);
  void hand_out(Entry& e, Instant now, const Emit& emit);
  void forget(Instant now);

  std::string gateway_;
  std::int64_t start_number_;
  std::shared_ptr<const DimensionPlan> plan_;
  std::uint64_t dropped_ = 0;
  std::int64_t sequence_ = 0;  // of the gateway: rises for each thing, also for one that was forgotten meanwhile
  std::unordered_map<std::string, Device> devices_;
  std::vector<Entry*> urgent_;
  std::vector<Entry*> changed_;
  Instant last_forgetting_{};
};

}  // namespace fleetward::gateway
