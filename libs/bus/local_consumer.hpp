// The consumer of a local bus and its unit of work: a member of a group. See Consumer.
#pragma once

#include "bus/local_core.hpp"

namespace fleetward::bus {

// `member` has joined the group already.
std::unique_ptr<Consumer> make_local_consumer(LocalCorePtr core, async::Scheduler& scheduler, ConsumerOptions options,
                                              MemberId member);

}  // namespace fleetward::bus
