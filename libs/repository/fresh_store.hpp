// Stores for the fixtures of tests (tests/stores). Which backend they are of is decided by the library that a program
// links: fw_fresh_store_sqlite (a file in `folder`) or fw_fresh_store_postgres (a database of the test's own).
#pragma once

#include <memory>
#include <string>

#include "core/result.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

// A store to be migrated: over PostgreSQL it has all tables already.
Result<std::unique_ptr<store::Store>> open_fresh_store(const std::string& folder, metrics::Registry& metrics);

// A store without tables.
Result<std::unique_ptr<store::Store>> open_empty_store(const std::string& folder, metrics::Registry& metrics);

}  // namespace fleetward::repository
