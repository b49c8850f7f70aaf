// What tests of the repositories share: a store with all tables, in a folder of its own that is gone with it. The
// program test_repository has it over SQLite, test_repository_postgres over a database of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "repository/migrations.hpp"
#include "store/run_and_wait.hpp"
#include "store/sqlite_store.hpp"
#ifdef FLEETWARD_TESTS_OVER_POSTGRES
#include "store/postgres_for_tests.hpp"
#endif

namespace fleetward::repository {

#ifdef FLEETWARD_TESTS_OVER_POSTGRES
// A database with all tables, made once: a copy of it costs less than the steps of the schema.
inline std::string database_with_all_tables() {
  const store::PostgresOptions options = store::testing_support::PostgresServer::shared().new_database();
  metrics::Registry metrics;
  auto opened = store::open_postgres_store(options, metrics);
  if (!opened || !(*opened)->migrate(all_migrations()).ok()) std::abort();
  return options.database;
}
#endif

// A store for a fixture, to be migrated: over PostgreSQL it has all tables already.
inline Result<std::unique_ptr<store::Store>> open_fresh_store([[maybe_unused]] const std::string& folder,
                                                              metrics::Registry& metrics) {
#ifdef FLEETWARD_TESTS_OVER_POSTGRES
  static const std::string like = database_with_all_tables();
  return store::open_postgres_store(store::testing_support::PostgresServer::shared().new_database(like), metrics);
#else
  return store::open_sqlite_store(folder + "/store.db", metrics);
#endif
}

// A store without tables.
inline Result<std::unique_ptr<store::Store>> open_empty_store([[maybe_unused]] const std::string& folder,
                                                              metrics::Registry& metrics) {
#ifdef FLEETWARD_TESTS_OVER_POSTGRES
  return store::open_postgres_store(store::testing_support::PostgresServer::shared().new_database(), metrics);
#else
  return store::open_sqlite_store(folder + "/store.db", metrics);
#endif
}

// `Base`: ::testing::Test, or a TestWithParam.
template <class Base = ::testing::Test>
class StoreFixture : public Base {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "repository-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    auto opened = open_store();
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
    ASSERT_TRUE(store_->migrate(all_migrations()).ok());
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  virtual Result<std::unique_ptr<store::Store>> open_store() { return open_empty_store(folder_, metrics_); }

  template <class T>
  Result<T> in_store(const std::function<Result<T>(store::Transaction&)>& work) {
    return store::run_and_wait<T>(*store_, work);
  }
  Status change(const std::function<Status(store::Transaction&)>& work) { return in_store<void>(work); }

  std::string folder_;
  metrics::Registry metrics_;
  std::unique_ptr<store::Store> store_;
};

}  // namespace fleetward::repository
