// Retention and compaction of a partition's table in a bus file, a small step at a time. On the bus's writer.
#pragma once

#include <string>

#include "bus/sqlite_connection.hpp"
#include "bus/storage.hpp"
#include "core/time.hpp"

namespace fleetward::bus {

// The oldest rows, as long as each is older than `before`, at most `rows_max` of them.
Result<CleanStep> expire(Connection& writer, const std::string& table, Instant before, std::size_t rows_max);

// What a newer record of its key replaces. `cursor`: where the last step ended; 0: at the beginning.
Result<CleanStep> compact(Connection& writer, const std::string& table, std::int64_t& cursor, Instant before,
                          std::size_t rows_max);

}  // namespace fleetward::bus
