// Members of Kafka consumer groups, as bus.hpp promises them: cooperative hand-over, static membership, fenced units of
// work.
#pragma once

#include "bus/kafka_core.hpp"

namespace fleetward::bus::kafka {

Result<std::unique_ptr<Consumer>> make_consumer(KafkaCorePtr core, async::Scheduler& scheduler,
                                                ConsumerOptions options);

}  // namespace fleetward::bus::kafka
