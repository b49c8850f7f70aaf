// Readers of given Kafka partitions, without a group; of committed records only.
#pragma once

#include "bus/kafka_core.hpp"

namespace fleetward::bus::kafka {

Result<std::unique_ptr<Reader>> make_reader(KafkaCorePtr core, async::Scheduler& scheduler, std::string topic,
                                            const std::vector<Position>& start);

}  // namespace fleetward::bus::kafka
