// What every store promises, over every backend.
#include "store/store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <optional>

#include "contract/temp_folder.hpp"
#include "store/postgres_for_tests.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::contract {
namespace {

using store::Params;
using store::Transaction;
using store::testing_support::PostgresServer;

const std::vector<store::Migration> migrations = {
    {1, "things", "CREATE TABLE things(name TEXT PRIMARY KEY, n BIGINT NOT NULL)"}};

enum class Backend { memory, sqlite, postgres };

std::string name_of(const ::testing::TestParamInfo<Backend>& info) {
  switch (info.param) {
    case Backend::memory:
      return "memory";
    case Backend::sqlite:
      return "sqlite";
    case Backend::postgres:
      return "postgres";
  }
  return "unknown";
}

class StoreTest : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::postgres) postgres_ = PostgresServer::shared().new_database();
    open();
    ASSERT_NE(store_, nullptr);
    ASSERT_TRUE(store_->migrate(migrations).ok());
  }
  void TearDown() override {
    if (thread_) thread_->stop();
    store_.reset();
  }
  void open() {
    if (GetParam() == Backend::memory) thread_.emplace("contract store");
    auto opened = open_with(metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
  }
  Result<std::unique_ptr<store::Store>> open_with(metrics::Registry& metrics) {
    if (GetParam() == Backend::memory) return store::open_memory_store(*thread_, metrics);
    if (GetParam() == Backend::sqlite) return store::open_sqlite_store(folder_ / "store/store.db", metrics);
    return store::open_postgres_store(postgres_, metrics);
  }
  Status run(std::function<Status(Transaction&)> work) {
    std::promise<Status> done;
    store_->run(std::move(work), [&](Status s) { done.set_value(std::move(s)); });
    return done.get_future().get();
  }
  static Status put(Transaction& tx, const std::string& name, std::int64_t n) {
    const auto put = tx.execute("INSERT INTO things(name, n) VALUES($1, $2)", {name, n});
    return put.ok() ? Status() : Status(put.error());
  }
  std::int64_t count() {
    std::int64_t n = -1;
    EXPECT_TRUE(run([&](Transaction& tx) -> Status {
                  n = tx.query("SELECT count(*) FROM things")->at(0).integer(0);
                  return {};
                }).ok());
    return n;
  }

  TempFolder folder_;
  metrics::Registry metrics_;
  std::optional<async::LoopThread> thread_;  // the memory store's; the other one has its own
  store::PostgresOptions postgres_;          // of this test's database
  std::unique_ptr<store::Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Backends, StoreTest, ::testing::Values(Backend::memory, Backend::sqlite, Backend::postgres),
                         name_of);

// Only of the backends outside of the process: what is in memory ends with its process, so it has nothing to survive
// with.
class StoreKeptTest : public StoreTest {};

INSTANTIATE_TEST_SUITE_P(Backends, StoreKeptTest, ::testing::Values(Backend::sqlite, Backend::postgres), name_of);

TEST_P(StoreTest, CommitsWhenGoodAndRollsBackWhenNot) {
  EXPECT_TRUE(run([](Transaction& tx) { return put(tx, "a", 1); }).ok());
  const Status failed = run([](Transaction& tx) -> Status {
    if (const Status s = put(tx, "b", 2); !s) return s;
    return Error(ErrorCode::failed_precondition, "changed my mind");
  });
  EXPECT_EQ(failed.error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(count(), 1);
}

TEST_P(StoreTest, UniquenessHasItsOwnCode) {
  EXPECT_TRUE(run([](Transaction& tx) { return put(tx, "a", 1); }).ok());
  EXPECT_EQ(run([](Transaction& tx) { return put(tx, "a", 2); }).error().code, ErrorCode::already_exists);
  EXPECT_EQ(run([](Transaction& tx) { return put(tx, "b", 1); }).ok(), true);
}

TEST_P(StoreTest, ParametersGoByNumberAndTextIsNeverSql) {
  EXPECT_TRUE(run([](Transaction& tx) { return put(tx, "x'); DROP TABLE things; --", 1); }).ok());
  EXPECT_TRUE(
      run([](Transaction& tx) -> Status {
        const auto rows = tx.query("SELECT $2, $1, $1, name FROM things", {std::string("one"), std::int64_t{2}});
        EXPECT_EQ(rows->at(0).integer(0), 2);
        EXPECT_EQ(rows->at(0).text(1), "one");
        EXPECT_EQ(rows->at(0).text(2), "one");
        return {};
      }).ok());
  EXPECT_EQ(count(), 1);
}

TEST_P(StoreTest, AMissingValueIsAnErrorNotNull) {
  const Status refused = run([](Transaction& tx) -> Status {
    const auto put = tx.execute("INSERT INTO things(name, n) VALUES($1, $2)", {std::string("a")});
    return put.ok() ? Status() : Status(put.error());
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::internal);
  EXPECT_EQ(count(), 0);
}

TEST_P(StoreTest, MoreRowsThanAreReadAtOnceAreAnError) {
  const Status refused = run([](Transaction& tx) -> Status {
    const auto rows =
        tx.query("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n <= $1) SELECT n FROM c",
                 {static_cast<std::int64_t>(store::rows_max)});
    return rows.ok() ? Status() : Status(rows.error());
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::resource_exhausted);
}

TEST_P(StoreTest, AFailedStatementEndsItsTransaction) {
  ASSERT_TRUE(run([](Transaction& tx) { return put(tx, "a", 1); }).ok());
  const Status refused = run([](Transaction& tx) -> Status {
    EXPECT_TRUE(put(tx, "b", 1).ok());
    EXPECT_EQ(put(tx, "a", 2).error().code, ErrorCode::already_exists);
    EXPECT_FALSE(tx.query("SELECT name FROM things").ok());
    return {};
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::already_exists);
  EXPECT_EQ(count(), 1);
}

TEST_P(StoreTest, AConstraintHasItsOwnCode) {
  const Status refused = run([](Transaction& tx) -> Status {
    const auto put = tx.execute("INSERT INTO things(name, n) VALUES($1, $2)", {std::string("a"), std::monostate()});
    return put.ok() ? Status() : Status(put.error());
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
}

TEST_P(StoreTest, ValuesComeBackAsTheyWent) {
  auto with_kinds = migrations;
  with_kinds.push_back(
      {2, "kinds",
       "CREATE TABLE kinds(id INTEGER PRIMARY KEY AUTOINCREMENT, n BIGINT, d DOUBLE PRECISION, t TEXT, b "
       "BLOB )"});
  ASSERT_TRUE(store_->migrate(with_kinds).ok());
  const Bytes all_bytes = to_bytes(std::string_view("\0\x01'\\\xff", 5));
  const std::string words = "it's \"ours\" \\ $1 Grüße \xf0\x9f\x9a\x9a\n";
  EXPECT_TRUE(run([&](Transaction& tx) -> Status {
                const auto put = tx.execute(
                    "INSERT INTO kinds(n, d, t, b) VALUES($1, $2, $3, $4), (NULL, $5, $6, NULL)",
                    {std::numeric_limits<std::int64_t>::min(), 0.1, words, all_bytes, std::monostate(), std::string()});
                return put.ok() ? Status() : Status(put.error());
              }).ok());
  EXPECT_TRUE(run([&](Transaction& tx) -> Status {
                const auto rows =
                    tx.query("SELECT id, n, d, t, b FROM kinds WHERE $1 IS NULL ORDER BY id", {std::monostate()});
                if (!rows) return rows.error();
                EXPECT_EQ(rows->at(0).integer(0), 1);
                EXPECT_EQ(rows->at(0).integer(1), std::numeric_limits<std::int64_t>::min());
                EXPECT_EQ(rows->at(0).number(2), 0.1);
                EXPECT_EQ(rows->at(0).text(3), words);
                EXPECT_EQ(rows->at(0).bytes(4), all_bytes);
                EXPECT_EQ(rows->at(1).integer(0), 2);
                EXPECT_TRUE(rows->at(1).is_null(1) && rows->at(1).is_null(2) && rows->at(1).is_null(4));
                EXPECT_EQ(rows->at(1).text(3), "");
                return {};
              }).ok());
}

TEST_P(StoreTest, WhatIsAskedComesBackInTheSameKinds) {
  ASSERT_TRUE(run([](Transaction& tx) { return put(tx, "a", 7); }).ok());
  EXPECT_TRUE(run([](Transaction& tx) -> Status {
                const auto rows = tx.query(
                    "SELECT n = 7, n > 9, sum(n), count(*), EXISTS(SELECT 1 FROM things), max(name) FROM things "
                    "GROUP BY n");
                if (!rows) return rows.error();
                EXPECT_EQ(rows->at(0).integer(0), 1);
                EXPECT_EQ(rows->at(0).integer(1), 0);
                EXPECT_EQ(rows->at(0).integer(2), 7);
                EXPECT_EQ(rows->at(0).integer(3), 1);
                EXPECT_EQ(rows->at(0).integer(4), 1);
                EXPECT_EQ(rows->at(0).text(5), "a");
                return {};
              }).ok());
}

TEST_P(StoreTest, TextSortsByItsBytes) {
  ASSERT_TRUE(run([](Transaction& tx) -> Status {
                for (const char* name : {"b", "a", "B", "A", "_", "é"}) {
                  if (const Status s = put(tx, name, 1); !s) return s;
                }
                return {};
              }).ok());
  std::string order;
  EXPECT_TRUE(run([&](Transaction& tx) -> Status {
                const auto rows = tx.query("SELECT name FROM things WHERE name > $1 ORDER BY name", {std::string("A")});
                if (!rows) return rows.error();
                order.clear();
                for (const store::Row& row : *rows) order += row.text(0);
                return {};
              }).ok());
  EXPECT_EQ(order, "B_abé");
}

TEST_P(StoreTest, WhatReadsThenWritesCountsEveryTime) {
  constexpr int times = 100;
  ASSERT_TRUE(run([](Transaction& tx) { return put(tx, "a", 0); }).ok());
  std::vector<std::promise<Status>> done(times);
  for (auto& promise : done) {
    store_->run(
        [](Transaction& tx) -> Status {
          const auto rows = tx.query("SELECT n FROM things WHERE name='a'");
          if (!rows) return rows.error();
          const auto put = tx.execute("UPDATE things SET n=$1 WHERE name='a'", {rows->at(0).integer(0) + 1});
          return put.ok() ? Status() : Status(put.error());
        },
        [&promise](Status s) { promise.set_value(std::move(s)); });
  }
  for (auto& promise : done) EXPECT_TRUE(promise.get_future().get().ok());
  std::int64_t counted = 0;
  EXPECT_TRUE(run([&](Transaction& tx) -> Status {
                counted = tx.query("SELECT n FROM things WHERE name='a'")->at(0).integer(0);
                return {};
              }).ok());
  EXPECT_EQ(counted, times);
}

TEST_P(StoreTest, NotifiesOnlyAfterACommit) {
  async::LoopThread loop("listener");
  {
    async::Scope scope(loop, "test");
    auto listener = store_->listen(loop, "channel");
    std::promise<bool> first;
    std::promise<bool> second;
    const auto listen = [](store::Listener& l, Millis limit, std::promise<bool>& woken) -> async::Task<void> {
      const bool by_event = co_await l.wait(limit);
      woken.set_value(by_event);
    };
    EXPECT_FALSE(run([](Transaction& tx) -> Status {
                   tx.notify("channel");
                   return Error(ErrorCode::conflict, "rolled back");
                 }).ok());
    scope.spawn("first", listen(*listener, Millis(50), first));
    EXPECT_FALSE(first.get_future().get());
    EXPECT_TRUE(run([](Transaction& tx) -> Status {
                  tx.notify("channel");
                  return {};
                }).ok());
    scope.spawn("second", listen(*listener, Millis(20'000), second));
    EXPECT_TRUE(second.get_future().get());
    EXPECT_TRUE(scope.join(Millis(5000)));
  }
}

TEST_P(StoreTest, AnOlderProgramRefusesANewerSchema) {
  auto newer = migrations;
  newer.push_back({2, "more", "CREATE TABLE more(a BIGINT)"});
  ASSERT_TRUE(store_->migrate(newer).ok());
  ASSERT_TRUE(store_->migrate(newer).ok()) << "again is no error";
  EXPECT_EQ(store_->migrate(migrations).error().code, ErrorCode::failed_precondition);
}

TEST_P(StoreTest, AFailedMigrationLeavesNothing) {
  auto broken = migrations;
  broken.push_back({2, "broken", "CREATE TABLE half(a BIGINT); CREATE TABLE things(a BIGINT)"});
  EXPECT_FALSE(store_->migrate(broken).ok());
  EXPECT_FALSE(run([](Transaction& tx) -> Status {
                 const auto rows = tx.query("SELECT * FROM half");
                 return rows.ok() ? Status() : Status(rows.error());
               }).ok());
}

TEST_P(StoreKeptTest, WhatWasCommittedSurvivesKillNine) {
  store_.reset();
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    metrics::Registry metrics;
    auto store = open_with(metrics);
    if (!store.ok()) _exit(1);
    for (std::int64_t n = 0;; ++n) {
      std::promise<bool> done;
      (*store)->run([n](Transaction& tx) { return put(tx, std::to_string(n), n); },
                    [&](const Status& s) { done.set_value(s.ok()); });
      if (!done.get_future().get() || ::write(pipe_ends[1], &n, sizeof n) != sizeof n) _exit(2);
    }
  }
  ::close(pipe_ends[1]);
  std::int64_t last = -1;
  std::int64_t n = 0;
  while (last < 300 && ::read(pipe_ends[0], &n, sizeof n) == sizeof n) last = n;
  ::kill(child, SIGKILL);
  while (::read(pipe_ends[0], &n, sizeof n) == sizeof n) last = n;
  ::close(pipe_ends[0]);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  open();
  const std::int64_t found = count();
  EXPECT_GE(found, last + 1);
  EXPECT_LE(found, last + 2) << "at most the one that was under way";
}

}  // namespace
}  // namespace fleetward::contract
