// What the PostgreSQL store promises of a server that is slow, gone, cut off or shared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "async/eventually.hpp"
#include "store/postgres_for_tests.hpp"
#include "store/run_and_wait.hpp"

// For LeakSanitizer: libpqxx 6.4 forgets the result that libpq makes of a connection's end.
extern "C" const char* __lsan_default_suppressions() { return "leak:PQmakeEmptyPGresult\n"; }

namespace fleetward::contract {
namespace {

using async::testing_support::eventually;
using store::Transaction;
using store::testing_support::PostgresServer;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Millis patience{30'000};

const std::vector<store::Migration> migrations = {
    {1, "things", "CREATE TABLE things(name TEXT PRIMARY KEY, n BIGINT NOT NULL)"}};

class PostgresFaults : public ::testing::Test {
 protected:
  void SetUp() override {
    options_ = server_.new_database();
    options_.statement_limit = Millis(2'000);
    store_ = open();
    ASSERT_NE(store_, nullptr);
    ASSERT_TRUE(store_->migrate(migrations).ok());
  }
  std::unique_ptr<store::Store> open() { return open(options_); }
  std::unique_ptr<store::Store> open(const store::PostgresOptions& options) {
    auto opened = store::open_postgres_store(options, metrics_);
    if (opened) return std::move(*opened);
    ADD_FAILURE() << opened.error().message;
    return nullptr;
  }
  using Work = std::function<Status(Transaction&)>;
  static Status run(store::Store& store, const Work& work) { return store::run_and_wait<void>(store, work); }
  Status run(const Work& work) { return run(*store_, work); }
  static Status done(const Result<std::int64_t>& changed) { return changed.ok() ? Status() : Status(changed.error()); }
  static Work put(std::string name, std::int64_t n) {
    return [name, n](Transaction& tx) { return done(tx.execute("INSERT INTO things VALUES($1, $2)", {name, n})); };
  }
  std::int64_t number(const std::string& sql) {
    const auto n = store::run_and_wait<std::int64_t>(*store_, [&](Transaction& tx) -> Result<std::int64_t> {
      const auto rows = tx.query(sql);
      if (!rows) return rows.error();
      return rows->at(0).integer(0);
    });
    EXPECT_TRUE(n.ok()) << n.error().message;
    return n.value_or(-1);
  }
  // Every other connection to this test's database, listening ones too.
  void cut_all() {
    server_.sql(options_,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
                "pg_backend_pid() AND application_name = 'fleetward'");
  }
  double metric(const std::string& name) {
    const std::string text = "\n" + metrics_.to_prometheus_text();
    const std::size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? 0 : std::atof(text.c_str() + at + name.size() + 2);
  }

  PostgresServer& server_ = PostgresServer::shared();
  metrics::Registry metrics_;
  store::PostgresOptions options_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(PostgresFaults, TwoStoresThatReadThenWriteLoseNothing) {
  constexpr int times = 150;
  ASSERT_TRUE(run(put("a", 0)).ok());
  auto other = open();
  const Work count_on = [](Transaction& tx) -> Status {
    const auto rows = tx.query("SELECT n FROM things WHERE name='a'");
    if (!rows) return rows.error();
    return done(tx.execute("UPDATE things SET n=$1 WHERE name='a'", {rows->at(0).integer(0) + 1}));
  };
  std::vector<std::promise<Status>> told(times);
  for (int i = 0; i < times; ++i) {
    (i % 2 == 0 ? *store_ : *other).run(count_on, [&told, i](Status s) { told[i].set_value(std::move(s)); });
  }
  for (auto& promise : told) {
    const Status s = promise.get_future().get();
    EXPECT_TRUE(s.ok()) << s.error().message;
  }
  EXPECT_EQ(number("SELECT n FROM things WHERE name='a'"), times);
  EXPECT_GT(metric("fleetward_store_reruns_total"), 0) << "they never met: this test shows nothing";
}

// Each sees room for one more and takes it: only an order one after the other keeps the cap.
TEST_F(PostgresFaults, WhatTwoRespondersReadBothCannotBothBeTrue) {
  constexpr std::int64_t cap = 5;
  auto other = open();
  std::vector<std::promise<Status>> told(40);
  for (std::size_t i = 0; i < told.size(); ++i) {
    (i % 2 == 0 ? *store_ : *other)
        .run(
            [i](Transaction& tx) -> Status {
              const auto rows = tx.query("SELECT count(*) FROM things");
              if (!rows) return rows.error();
              if (rows->at(0).integer(0) >= cap) return Error(ErrorCode::resource_exhausted, "over the cap");
              return done(tx.execute("INSERT INTO things VALUES($1, 1)", {std::to_string(i)}));
            },
            [&told, i](Status s) { told[i].set_value(std::move(s)); });
  }
  std::int64_t taken = 0;
  for (auto& promise : told) {
    const Status s = promise.get_future().get();
    if (s.ok()) ++taken;
    else EXPECT_EQ(s.error().code, ErrorCode::resource_exhausted) << s.error().message;
  }
  EXPECT_EQ(taken, cap);
  EXPECT_EQ(number("SELECT count(*) FROM things"), cap);
}

TEST_F(PostgresFaults, ATransactionThatLosesItsConnectionIsRunAgain) {
  int runs = 0;
  const Status status = run([&](Transaction& tx) -> Status {
    if (const Status first = put("a", ++runs)(tx); !first) return first;
    if (runs == 1) cut_all();
    return put("b", runs)(tx);
  });
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(number("SELECT count(*) FROM things"), 2);
  EXPECT_EQ(number("SELECT n FROM things WHERE name='a'"), 2) << "what was begun first is undone";
}

TEST_F(PostgresFaults, ACommitThatIsLostMayBeDoneAndIsNotRunAgain) {
  server_.sql(
      options_,
      "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM "
      "pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON "
      "things DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()");
  int runs = 0;
  const Status status = run([&](Transaction& tx) -> Status {
    ++runs;
    return put("a", 1)(tx);
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_THAT(status.error().message, HasSubstr("in the middle of a commit"));
  EXPECT_EQ(runs, 1);
  server_.sql(options_, "DROP TRIGGER cut ON things");
  EXPECT_TRUE(run(put("b", 1)).ok()) << "over another connection";
}

TEST_F(PostgresFaults, WhatWasToldCommittedSurvivesTheServersDeath) {
  std::atomic<bool> is_over{false};
  std::vector<std::string> told;
  std::thread writer([&] {
    for (int i = 0; !is_over; ++i) {
      const std::string name = std::to_string(i);
      if (run(put(name, i)).ok()) told.push_back(name);
    }
  });
  EXPECT_TRUE(eventually([&] { return metric("fleetward_store_commits_total") > 50; }, patience));
  server_.command("kill");
  server_.command("start");
  const double before = metric("fleetward_store_commits_total");
  EXPECT_TRUE(eventually([&] { return metric("fleetward_store_commits_total") > before + 50; }, patience));
  is_over = true;
  writer.join();
  std::int64_t missing = 0;
  for (const std::string& name : told) missing += number("SELECT count(*) FROM things WHERE name='" + name + "'") - 1;
  EXPECT_EQ(missing, 0);
}

TEST_F(PostgresFaults, WithoutItsServerItSaysSoAndGoesOnWhenThatIsBack) {
  options_.connect_limit = Millis(300);
  store_ = open();
  server_.command("stop");
  const Status status = run(put("a", 1));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unavailable);
  EXPECT_THAT(status.error().message, HasSubstr(std::to_string(options_.port)));
  EXPECT_THAT(status.error().message, Not(HasSubstr(options_.password)));
  EXPECT_FALSE(store_->health().ok());
  server_.command("start");
  EXPECT_TRUE(eventually([&] { return run(put("b", 1)).ok(); }, patience));
  EXPECT_TRUE(store_->health().ok());
}

TEST_F(PostgresFaults, AServerThatStandsStillIsNotWaitedForForever) {
  options_.statement_limit = Millis(300);
  options_.connect_limit = Millis(300);
  store_ = open();
  ASSERT_TRUE(run(put("a", 1)).ok());
  server_.command("freeze");
  const Status status = run(put("b", 1));
  server_.command("thaw");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::unavailable) << status.error().message;
  EXPECT_TRUE(eventually([&] { return run(put("c", 1)).ok(); }, patience));
}

TEST_F(PostgresFaults, ClosingDoesNotWaitForAServerThatStandsStill) {
  options_.statement_limit = Millis(60'000);  // longer than the test may take
  options_.connections = 1;
  store_ = open();
  ASSERT_TRUE(run(put("a", 1)).ok());
  std::promise<Status> running;
  std::promise<Status> waiting;
  server_.command("freeze");
  store_->run(put("b", 1), [&](Status s) { running.set_value(std::move(s)); });
  store_->run(put("c", 1), [&](Status s) { waiting.set_value(std::move(s)); });
  store_.reset();
  server_.command("thaw");
  EXPECT_FALSE(running.get_future().get().ok());
  EXPECT_EQ(waiting.get_future().get().error().code, ErrorCode::cancelled);
}

TEST_F(PostgresFaults, ALockIsNotWaitedForForever) {
  options_.statement_limit = Millis(400);
  auto impatient = open();
  ASSERT_TRUE(run(put("a", 1)).ok());
  std::promise<void> is_locked;
  std::promise<void> may_go_on;
  std::promise<Status> first;
  store_->run(
      [&](Transaction& tx) -> Status {
        if (const Status s = done(tx.execute("UPDATE things SET n=2 WHERE name='a'")); !s) return s;
        is_locked.set_value();
        may_go_on.get_future().wait();
        return {};
      },
      [&](Status s) { first.set_value(std::move(s)); });
  is_locked.get_future().wait();
  const Status status =
      run(*impatient, [](Transaction& tx) { return done(tx.execute("UPDATE things SET n=3 WHERE name='a'")); });
  may_go_on.set_value();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::deadline_exceeded) << status.error().message;
  EXPECT_TRUE(first.get_future().get().ok());
  EXPECT_EQ(number("SELECT n FROM things WHERE name='a'"), 2);
}

TEST_F(PostgresFaults, AStatementEndsAtItsLimit) {
  options_.statement_limit = Millis(200);
  auto impatient = open();
  const Status status = run(*impatient, [](Transaction& tx) -> Status {
    const auto rows = tx.query("SELECT pg_sleep(60)");
    return rows.ok() ? Status() : Status(rows.error());
  });
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::deadline_exceeded) << status.error().message;
}

TEST_F(PostgresFaults, WhatWaitsIsLimited) {
  options_.work_max = 2;
  options_.connections = 1;
  auto small = open();
  std::promise<void> may_go_on;
  std::shared_future<void> gate = may_go_on.get_future().share();
  std::vector<std::promise<Status>> told(3);
  for (std::size_t i = 0; i < told.size(); ++i) {
    small->run(
        [gate](Transaction&) -> Status {
          gate.wait();
          return {};
        },
        [&told, i](Status s) { told[i].set_value(std::move(s)); });
  }
  EXPECT_EQ(told[2].get_future().get().error().code, ErrorCode::throttled);
  may_go_on.set_value();
  EXPECT_TRUE(told[0].get_future().get().ok());
  EXPECT_TRUE(told[1].get_future().get().ok());
}

async::Task<void> count_wakes(store::Listener& listener, async::Scope& scope, std::atomic<int>& wakes) {
  while (!scope.stopping()) {
    const bool woken = co_await listener.wait(Millis(50));
    if (woken) ++wakes;
  }
}

TEST_F(PostgresFaults, AListenerHearsOtherProcessesAndIsWokenAfterALoss) {
  auto other = open();
  const Work tell = [](Transaction& tx) -> Status {
    tx.notify("things");
    return {};
  };
  std::atomic<int> wakes{0};
  async::LoopThread loop("listener");
  auto listener = store_->listen(loop, "things");
  async::Scope scope(loop, "test");
  scope.spawn("count", count_wakes(*listener, scope, wakes));
  ASSERT_TRUE(run(*other, tell).ok());
  EXPECT_TRUE(eventually([&] { return wakes == 1; }, patience));
  cut_all();
  EXPECT_TRUE(eventually([&] { return wakes == 2; }, patience)) << "what was told meanwhile is not told again";
  ASSERT_TRUE(run(*other, tell).ok());
  EXPECT_TRUE(eventually([&] { return wakes == 3; }, patience));
  scope.request_stop();
  EXPECT_TRUE(scope.join(patience));
}

// A new version changes the schema while this one runs.
TEST_F(PostgresFaults, APlanOfBeforeAStepOfTheSchemaIsMadeAnew) {
  ASSERT_TRUE(run(put("a", 7)).ok());
  options_.connections = 1;  // so that it is asked again over the connection that has the plan
  auto running = open();
  const Work ask = [](Transaction& tx) -> Status {
    const auto rows = tx.query("SELECT * FROM things");
    if (!rows) return rows.error();
    return rows->at(0).integer(1) == 7 ? Status() : Status(Error(ErrorCode::internal, "another number"));
  };
  ASSERT_TRUE(run(*running, ask).ok());
  auto newer = migrations;
  newer.push_back({2, "more", "ALTER TABLE things ADD COLUMN more TEXT"});
  ASSERT_TRUE(store_->migrate(newer).ok());
  const Status asked = run(*running, ask);
  EXPECT_TRUE(asked.ok()) << asked.error().message;
}

TEST_F(PostgresFaults, ManyThatMigrateAtOnceDoItOnce) {
  const store::PostgresOptions fresh = server_.new_database();
  std::vector<std::thread> threads;
  std::atomic<int> well{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      auto store = open(fresh);
      if (store && store->migrate(migrations).ok()) ++well;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(well, 4);
  EXPECT_EQ(server_.sql(fresh, "SELECT count(*) FROM migrations"), "1");
}

TEST_F(PostgresFaults, AWrongPasswordIsToldWithoutIt) {
  options_.password = "not-the-password";
  const auto refused = store::open_postgres_store(options_, metrics_);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("check its user and password"));
  EXPECT_THAT(refused.error().message, HasSubstr("localhost:" + std::to_string(options_.port)));
  EXPECT_THAT(refused.error().message, Not(HasSubstr(options_.password)));
}

TEST_F(PostgresFaults, AServerOfAnotherNameIsNotTrusted) {
  options_.host = "127.0.0.2";  // the same server's machine, but not in its certificate
  server_.sql(options_, "SELECT 1");
  const auto refused = store::open_postgres_store(options_, metrics_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::unavailable);
}

TEST_F(PostgresFaults, WithoutTlsTheServerDoesNotTakeUs) {
  options_.tls = false;
  const auto refused = store::open_postgres_store(options_, metrics_);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("pg_hba.conf"));
}

TEST_F(PostgresFaults, ADatabaseThatSortsOtherwiseIsRefused) {
  server_.sql(options_, "CREATE DATABASE latin TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
  options_.database = "latin";
  const auto refused = store::open_postgres_store(options_, metrics_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message, HasSubstr("SQL_ASCII"));
}

}  // namespace
}  // namespace fleetward::contract
