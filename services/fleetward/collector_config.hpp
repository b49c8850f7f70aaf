// The collector's configuration, made of its settings: files read, TLS made ready.
#pragma once

#include "metrics/metrics.hpp"
#include "services/collector/collector.hpp"
#include "services/fleetward/settings.hpp"

namespace fleetward::program {

// `metrics` outlives the collector. The error names the source.
Result<collector::CollectorConfig> collector_config(const Settings& settings, metrics::Registry& metrics);

}  // namespace fleetward::program
