// What grows is kept by the month in PostgreSQL, and nobody notices.
#include "repository/action_fixture.hpp"
#include "repository/audit_repository.hpp"
#include "repository/violation_repository.hpp"
#include "store/postgres_for_tests.hpp"

namespace fleetward::contract {
namespace {

using store::Transaction;
using store::testing_support::PostgresServer;

class PostgresMonths : public repository::ActionTest {
 protected:
  Result<std::unique_ptr<store::Store>> open_store() override {
    database_ = PostgresServer::shared().new_database();
    return store::open_postgres_store(database_, metrics_);
  }
  std::string sql(const std::string& text) { return PostgresServer::shared().sql(database_, text); }
  std::int64_t tend(Instant now) { return count(fmt::format("SELECT fleetward_tend({})", to_ms(now))); }
  bool record(const fleet::ViolationEvent& event) {
    const auto recorded = in<bool>([&](Transaction& tx) { return repository::record_violation_event(tx, event); });
    EXPECT_TRUE(recorded.ok()) << (recorded.ok() ? "" : recorded.error().message);
    return recorded.value_or(false);
  }

  store::PostgresOptions database_;
};

TEST_F(PostgresMonths, AnEventIsInItsMonthAndThereOnce) {
  tend(now_);
  EXPECT_EQ(tend(now_), 0) << "there already";
  const auto event = violation("g-1", "g");
  EXPECT_TRUE(record(event));
  EXPECT_FALSE(record(event)) << "told again";
  EXPECT_EQ(sql("SELECT count(*) FROM violation_events_2027_01"), "1");
  EXPECT_EQ(sql("SELECT count(*) FROM violation_events"), "1");
}

TEST_F(PostgresMonths, AMonthThatIsOverGoesWhenItIsEmpty) {
  const Instant later = now_ + std::chrono::hours(24 * 500);
  tend(now_);
  EXPECT_TRUE(record(violation("g-1", "g")));
  tend(later);
  EXPECT_EQ(sql("SELECT to_regclass('violation_events_2027_01') IS NULL"), "f") << "it holds something";
  ASSERT_TRUE(in<std::int64_t>([&](Transaction& tx) { return repository::prune_violation_events(tx, later); }).ok());
  tend(later);
  EXPECT_EQ(sql("SELECT to_regclass('violation_events_2027_01') IS NULL"), "t");
  EXPECT_EQ(sql("SELECT to_regclass('violation_events_rest') IS NULL"), "f");
}

TEST_F(PostgresMonths, WhatHasNoMonthIsKeptAllTheSame) {
  now_ += std::chrono::hours(24 * 10'000);  // before anybody tended it
  EXPECT_TRUE(record(violation("g-1", "g")));
  tend(now_);
  EXPECT_TRUE(record(violation("g-2", "g"))) << "its month is in the rest already, and stays there";
  EXPECT_EQ(sql("SELECT count(*) FROM violation_events_rest"), "2");
}

TEST_F(PostgresMonths, WhatWasThereBeforeStaysAndTheAuditLogCountsOn) {
  database_ = PostgresServer::shared().new_database();
  auto before = repository::all_migrations();
  std::erase_if(before, [](const store::Migration& m) { return m.number >= 13; });
  store_ = std::move(*store::open_postgres_store(database_, metrics_));
  ASSERT_TRUE(store_->migrate(before).ok());
  const auto audit = [this](Transaction& tx) {
    return repository::write_audit(tx, {now_, "anna", "v1.things", "/things/g-1", "1", "127.0.0.1"});
  };
  ASSERT_TRUE(run(audit).ok());
  const auto event = violation("g-1", "g");
  EXPECT_TRUE(record(event));
  ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
  EXPECT_FALSE(record(event));
  ASSERT_TRUE(run(audit).ok());
  EXPECT_EQ(sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM audit_log"), "1,2");
}

}  // namespace
}  // namespace fleetward::contract
