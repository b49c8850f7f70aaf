#include "repository/fresh_store.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::repository {

Result<std::unique_ptr<store::Store>> open_fresh_store(const std::string& folder, metrics::Registry& metrics) {
  return open_empty_store(folder, metrics);
}

Result<std::unique_ptr<store::Store>> open_empty_store(const std::string& folder, metrics::Registry& metrics) {
  return store::open_sqlite_store(folder + "/store.db", metrics);
}

}  // namespace fleetward::repository
