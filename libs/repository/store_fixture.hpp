// What tests of the repositories share: a store with all tables, in a folder of its own that is gone with it. The
// program test_repository has it over SQLite, test_repository_postgres over a database of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "repository/fresh_store.hpp"
#include "repository/migrations.hpp"
#include "store/run_and_wait.hpp"

namespace fleetward::repository {

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
