// What the owner of a partition says on topic devices: begin, marks and ticks.
//
// What failed to be appended is noticed by not being read back, and is said again after a while. Lives on the
// detector's scheduler.
#pragma once

#include "bus/bus.hpp"
#include "metrics/metrics.hpp"
#include "services/detector/partition.hpp"

namespace fleetward::detector {

class OwnerVoice {
 public:
  OwnerVoice(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics);

  // Says what is due of a running partition; `newest_held` is the highest manifest whose rules are here.
  void speak(OwnedPartition& p, std::int64_t newest_held, const detect::Snapshots& snapshots);

 private:
  [[nodiscard]] static fleet::CohortMark newer_snapshots(OwnedPartition& p, const detect::Snapshots& snapshots,
                                                         bool may_repeat);
  void append(fleet::RecordKind kind, std::int32_t partition, const json::Value& value);

  bus::Bus& bus_;
  async::Scheduler& scheduler_;
  metrics::Counter& failures_;
};

}  // namespace fleetward::detector
