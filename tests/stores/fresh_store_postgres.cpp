#include "repository/fresh_store.hpp"
#include "repository/migrations.hpp"
#include "store/postgres_for_tests.hpp"

namespace fleetward::repository {
namespace {

using store::testing_support::PostgresServer;

// A database with all tables, made once: a copy of it costs less than the steps of the schema.
std::string database_with_all_tables() {
  const store::PostgresOptions options = PostgresServer::shared().new_database();
  metrics::Registry metrics;
  auto opened = store::open_postgres_store(options, metrics);
  if (!opened || !(*opened)->migrate(all_migrations()).ok()) std::abort();
  return options.database;
}

}  // namespace

Result<std::unique_ptr<store::Store>> open_fresh_store(const std::string&, metrics::Registry& metrics) {
  static const std::string like = database_with_all_tables();
  return store::open_postgres_store(PostgresServer::shared().new_database(like), metrics);
}

Result<std::unique_ptr<store::Store>> open_empty_store(const std::string&, metrics::Registry& metrics) {
  return store::open_postgres_store(PostgresServer::shared().new_database(), metrics);
}

}  // namespace fleetward::repository
