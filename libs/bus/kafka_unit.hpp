// A Kafka consumer's unit of work: fenced by the assignment under which it was begun, and by the broker.
//
// Lives on the consumer's scheduler; what blocks runs on the member's worker.
#pragma once

#include "bus/kafka_member.hpp"

namespace fleetward::bus::kafka {

// What a consumer owns now: shared with its units of work, which may outlive it. The consumer's scheduler only.
struct Ownership {
  std::map<std::int32_t, std::uint64_t> epochs;  // of the assignment of each partition
  std::shared_ptr<GroupMember> member;           // none once the consumer is closed
};

std::unique_ptr<UnitOfWork> make_unit_of_work(KafkaCorePtr core, async::Scheduler& scheduler,
                                              const std::shared_ptr<Ownership>& ownership);

}  // namespace fleetward::bus::kafka
