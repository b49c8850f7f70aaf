// Taking a partition's state back: from its sibling of detector-state into an engine as it was at the checkpoint.
//
// Lives on the detector's scheduler, between whose other work it reads on: polls go on meanwhile. Limits: what is read
// at once is a batch of the bus; of the state no more is held than `goes_on` allows.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bus/bus.hpp"
#include "services/detector/partition.hpp"

namespace fleetward::detector {

// All of them outlive the restores.
struct RestoreSource {
  bus::Bus& bus;
  async::Scheduler& scheduler;
  std::string group;
  const detect::Rules& rules;
  const detect::Snapshots& snapshots;
  std::function<bool(const OwnedPartition&)> goes_on;  // asked after each batch, when `bytes_read` has been set
};

// No engine: it was not to go on, and `bytes_needed` says what its state takes at least.
//
// unavailable: the checkpoint and the committed offset do not agree (yet); failed_precondition: the rules are not here
// yet; both are worth another try. corrupted: a person must look.
async::Task<Result<std::unique_ptr<detect::PartitionEngine>>> restore(const RestoreSource& source,
                                                                      std::shared_ptr<OwnedPartition> owned);

}  // namespace fleetward::detector
