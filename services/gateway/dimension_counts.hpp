// Traffic of devices on topics in, and not in, the dimensions that rules in force look through. Pure; the gateway's
// thread.
//
// A plan says what is wanted: made anew when the rules change, shared by all devices. Counts name the version of the
// dimension that they were gathered under, so those of an older plan are told as such. Without a plan nothing is looked
// at. Limits: DimensionPlan's, and fleet::dimension_deltas_max series of a device that wait to be told.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "detect/rules.hpp"
#include "fleet/device_records.hpp"

namespace fleetward::gateway {

struct DimensionPlan {
  static constexpr std::size_t dimensions_max = fleet::dimensions_max;
  static constexpr std::size_t filters_max = dimensions_max * fleet::topic_filters_per_dimension_max;

  std::vector<detect::DimensionUse> uses;
  std::vector<std::string> left_out;  // dimensions beyond the limits, which are not counted
  // nullptr when nothing is wanted.
  static std::shared_ptr<const DimensionPlan> make(std::vector<detect::DimensionUse> uses);
};

// Of one device.
class DimensionCounts {
 public:
  using Plan = std::shared_ptr<const DimensionPlan>;

  void sent(const Plan& plan, std::string_view thing, std::string_view topic, std::size_t bytes,
            std::string_view address);
  void received(const Plan& plan, std::string_view thing, std::string_view topic);
  void refused(const Plan& plan, std::string_view thing, std::string_view topic);

  // What was counted since the last call, into `out`.
  void hand_out(std::vector<fleet::DimensionDelta>& out);
  // Counts that had no room, since the last call.
  std::uint64_t take_dropped() { return std::exchange(dropped_, 0); }

 private:
  enum Metric : std::size_t { messages_sent, message_bytes, messages_received, authorization_failures, metric_count };
  static const std::array<std::string, metric_count>& names();
  struct Series {
    fleet::DimensionVersion dimension;
    bool negated = false;
    std::array<fleet::MetricDelta, metric_count> counts{};
    std::vector<std::string> addresses;
  };
  void look_at(const Plan& plan, std::string_view thing, std::string_view topic);
  template <class Take>
  void each_side(Take take);
  void add(std::size_t use, bool negated, const std::set<std::string>& wanted, Metric metric, double value);
  Series* series(std::size_t use, bool negated);

  Plan plan_;
  std::string topic_;     // the last one that was looked at
  std::uint64_t in_ = 0;  // a bit a dimension of the plan: whether that topic is in it
  std::vector<Series> waiting_;
  std::vector<std::size_t> places_;  // by dimension and side: 1 + index in waiting_
  std::uint64_t dropped_ = 0;
};

}  // namespace fleetward::gateway
