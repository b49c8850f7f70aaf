// Outbox and relay over real backends: nothing is published that was not committed, all that was is, in order, at least
// once.
#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus/table_follower.hpp"
#include "contract/bus_fixture.hpp"
#include "fleet/topics.hpp"
#include "repository/effects.hpp"
#include "repository/migrations.hpp"
#include "repository/outbox.hpp"
#include "repository/outbox_relay.hpp"
#include "repository/store_fixture.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::contract {
namespace {

using ::testing::SizeIs;

class OutboxTest : public BusTest {
 protected:
  void SetUp() override {
    BusTest::SetUp();
    for (const auto& info : fleet::all_topics) {
      const auto kind = info.is_table ? bus::TopicKind::table : bus::TopicKind::log;
      ASSERT_TRUE(bus_->ensure_topics({{std::string(info.name), info.per_device ? 4 : 1, kind, Millis(0)}}).ok());
    }
    auto opened = repository::open_fresh_store(folder_ / ".", metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
    ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
  }
  void TearDown() override {
    store_.reset();
    BusTest::TearDown();
  }

  Status commit(std::function<Status(store::Transaction&)> work) {
    return await(store::transact(*store_, loop_, std::move(work)));
  }

  static Status say(store::Transaction& tx, std::string_view topic, const std::string& key, int n) {
    const auto version = repository::next_version(tx, topic, key);
    if (!version) return version.error();
    const fleet::CloudEvent event{
        fmt::format("{}-{}", key, *version), "/fleetward/test", "test", key, instant_from_ms(0), {{"n", n}}};
    return repository::publish(tx, {std::string(topic), *version, event, {}});
  }

  std::vector<bus::Record> wait_for_records(std::string_view topic, std::size_t count) {
    std::vector<bus::Record> all;
    for (int i = 0; i < 1000; ++i) {
      all = read_to_end(std::string(topic));
      if (all.size() >= count) break;
      (void)await(scope_.sleep(Millis(10)));
    }
    return all;
  }

  static std::string version(const bus::Record& r) {
    return std::string(*bus::find_header(r.headers, fleet::header::version));
  }

  std::unique_ptr<store::Store> store_;
};

INSTANTIATE_TEST_SUITE_P(Backends, OutboxTest, ::testing::Values(Backend::memory, Backend::embedded), name_of);

TEST_P(OutboxTest, PublishesWhatWasCommittedInOrderWithRisingVersions) {
  repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_);
  relay.start();
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(commit([i](store::Transaction& tx) { return say(tx, fleet::topic::access, "dev1", i); }).ok());
  }
  EXPECT_FALSE(commit([](store::Transaction& tx) -> Status {
                 if (const Status s = say(tx, fleet::topic::access, "dev1", 99); !s) return s;
                 return Error(ErrorCode::conflict, "rolled back");
               }).ok());
  ASSERT_TRUE(commit([](store::Transaction& tx) { return say(tx, fleet::topic::access, "dev1", 6); }).ok());
  const auto records = wait_for_records(fleet::topic::access, 6);
  relay.stop(patience);
  ASSERT_THAT(records, SizeIs(6));
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(version(records[i]), std::to_string(i + 1));
    EXPECT_EQ(fleet::parse_cloud_event(*records[i].value)->data["n"], static_cast<int>(i) + 1);
  }
}

TEST_P(OutboxTest, ARelayThatTakesOverWritesTheNewestAgainWhereAnOlderOneCameLast) {
  {
    repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_);
    relay.start();
    for (int i = 1; i <= 2; ++i) {
      ASSERT_TRUE(commit([i](store::Transaction& tx) { return say(tx, fleet::topic::access, "dev1", i); }).ok());
    }
    ASSERT_THAT(wait_for_records(fleet::topic::access, 2), SizeIs(2));
    relay.stop(patience);
  }
  // An older relay that was paused in the middle of its append wakes up: version 1 comes last.
  append({bus::OutRecord{
      std::string(fleet::topic::access), "dev1", "old", {{std::string(fleet::header::version), "1"}}, {}}});
  repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_,
                                {.holder = "other", .lease = Millis(10'000), .batch_rows = 10});
  relay.start();
  ASSERT_TRUE(commit([](store::Transaction& tx) -> Status {  // its lease has not run out, but its holder is gone
                const auto gone = tx.execute("DELETE FROM relay_lease");
                return gone.ok() ? Status() : Status(gone.error());
              })
                  .ok());
  const auto records = wait_for_records(fleet::topic::access, 4);
  relay.stop(patience);
  ASSERT_THAT(records, SizeIs(4));
  EXPECT_EQ(version(records.back()), "2");
}

TEST_P(OutboxTest, WhatABusLostIsWrittenAgainFromTheStore) {
  // Published, its outbox row gone; then the bus starts empty, as from an older backup.
  ASSERT_TRUE(commit([](store::Transaction& tx) -> Status {
                for (const char* key : {"dev1", "dev2"}) {
                  if (const Status s = say(tx, fleet::topic::access, key, 7); !s) return s;
                }
                const auto gone = tx.execute("DELETE FROM outbox WHERE key='dev1'");
                return gone.ok() ? Status() : Status(gone.error());
              }).ok());
  repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_);
  relay.start();
  (void)wait_for_records(fleet::topic::access, 2);
  relay.stop(patience);
  const auto records = read_to_end(std::string(fleet::topic::access));
  ASSERT_THAT(records, SizeIs(2)) << "each once: what waits in the outbox is not written twice";
  EXPECT_NE(records[0].key, records[1].key);
}

TEST_P(OutboxTest, AStoreOlderThanTheBusCountsOn) {
  append({bus::OutRecord{
      std::string(fleet::topic::access), "dev1", "{}", {{std::string(fleet::header::version), "41"}}, {}}});
  repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_);
  relay.start();
  for (int i = 0; i < 1000 && !relay.is_ready(); ++i) (void)await(scope_.sleep(Millis(10)));
  ASSERT_TRUE(commit([](store::Transaction& tx) { return say(tx, fleet::topic::access, "dev1", 1); }).ok());
  const auto records = wait_for_records(fleet::topic::access, 2);
  relay.stop(patience);
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(version(records.back()), "42");
}

TEST_P(OutboxTest, ARelayWhoseLeaseWasTakenStopsUntilItIsFree) {
  const auto waits = [this] {
    std::int64_t rows = -1;
    EXPECT_TRUE(commit([&rows](store::Transaction& tx) -> Status {
                  rows = tx.query("SELECT count(*) FROM outbox")->at(0).integer(0);
                  return {};
                }).ok());
    return rows;
  };
  const auto wait_until_empty = [&] {
    for (int i = 0; i < 1000 && waits() > 0; ++i) (void)await(scope_.sleep(Millis(10)));
    EXPECT_EQ(waits(), 0);
  };
  repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_,
                                {.holder = "one", .lease = Millis(1'000), .batch_rows = 10});
  relay.start();
  ASSERT_TRUE(commit([](store::Transaction& tx) { return say(tx, fleet::topic::access, "dev1", 1); }).ok());
  ASSERT_THAT(wait_for_records(fleet::topic::access, 1), SizeIs(1));
  wait_until_empty();
  // As if it had slept: another one has the next generation, and publishes by itself.
  ASSERT_TRUE(commit([](store::Transaction& tx) -> Status {
                const auto taken =
                    tx.execute("UPDATE relay_lease SET holder='two', generation=generation + 1, expires_ms=$1",
                               {std::numeric_limits<std::int64_t>::max()});
                if (!taken) return taken.error();
                return say(tx, fleet::topic::access, "dev1", 2);
              }).ok());
  (void)await(scope_.sleep(Millis(1'500)));  // past its own lease
  EXPECT_EQ(waits(), 1) << "what it no longer owns it does not take away";
  ASSERT_TRUE(commit([](store::Transaction& tx) -> Status {
                const auto gone = tx.execute("UPDATE relay_lease SET expires_ms=0");
                if (!gone) return gone.error();
                return say(tx, fleet::topic::access, "dev1", 3);
              }).ok());
  wait_until_empty();
  relay.stop(patience);
  const auto records = read_to_end(std::string(fleet::topic::access));
  EXPECT_EQ(version(records.back()), "3");
}

TEST_P(OutboxTest, ARelayWithoutTheLeaseDoesNotAskAtEachCommit) {
  const auto commits = [this] { return metrics_.counter("fleetward_store_commits_total", "").value(); };
  ASSERT_TRUE(commit([](store::Transaction& tx) -> Status {
                const auto taken = tx.execute("INSERT INTO relay_lease VALUES(1, 'two', 1, $1)",
                                              {std::numeric_limits<std::int64_t>::max()});
                return taken.ok() ? Status() : Status(taken.error());
              }).ok());
  const auto before_it = commits();
  repository::OutboxRelay relay(*store_, *bus_, loop_, metrics_, {.holder = "one"});
  relay.start();
  for (int i = 0; i < 1000 && commits() == before_it; ++i) (void)await(scope_.sleep(Millis(10)));
  constexpr int count = 100;
  const auto before = commits();
  for (int i = 1; i <= count; ++i) {
    ASSERT_TRUE(commit([i](store::Transaction& tx) { return say(tx, fleet::topic::access, "dev1", i); }).ok());
    (void)await(scope_.sleep(Millis(5)));  // time enough to look
  }
  EXPECT_LT(commits() - before, count + count / 2) << "it looks by itself, now and then";
  relay.stop(patience);
}

TEST_P(OutboxTest, EffectsAreOnce) {
  const auto once = [this](std::string id, Instant now) {
    bool first = false;
    EXPECT_TRUE(commit([&, id, now](store::Transaction& tx) -> Status {
                  const auto r = repository::first_time(tx, "consumer", id, now);
                  if (!r) return r.error();
                  first = *r;
                  return {};
                }).ok());
    return first;
  };
  EXPECT_TRUE(once("a", instant_from_ms(1000)));
  EXPECT_FALSE(once("a", instant_from_ms(2000)));
  EXPECT_TRUE(once("b", instant_from_ms(5000)));
  EXPECT_TRUE(commit([](store::Transaction& tx) -> Status {
                const auto gone = repository::prune_effects(tx, "consumer", instant_from_ms(5000), Millis(1000));
                EXPECT_EQ(gone.value_or(-1), 1);
                return {};
              }).ok());
  EXPECT_TRUE(once("a", instant_from_ms(6000)));
  EXPECT_FALSE(once("b", instant_from_ms(6000)));
}

// Publishes one change of dev1 with the relay armed to die between its append and its delete.
[[noreturn]] void publish_and_die(const std::string& folder) {
  ::setenv("FLEETWARD_FAULT", "relay.after_append", 1);
  metrics::Registry metrics;
  async::LoopThread loop("child");
  auto bus = bus::open_embedded_bus(folder + "/bus.db", metrics);
  auto store = store::open_sqlite_store(folder + "/store.db", metrics);
  if (!bus.ok() || !store.ok() || !(*store)->migrate(repository::all_migrations()).ok()) _exit(1);
  for (const auto& info : fleet::all_topics) {
    const auto kind = info.is_table ? bus::TopicKind::table : bus::TopicKind::log;
    if (!(*bus)->ensure_topics({{std::string(info.name), 1, kind, Millis(0)}}).ok()) _exit(2);
  }
  std::promise<Status> committed;
  const fleet::CloudEvent event{"dev1-1", "/fleetward/test", "test", "dev1", instant_from_ms(0), {{"n", 1}}};
  (*store)->run(
      [&](store::Transaction& tx) {
        return repository::publish(tx, {std::string(fleet::topic::access), 1, event, {}});
      },
      [&](Status s) { committed.set_value(std::move(s)); });
  if (!committed.get_future().get().ok()) _exit(3);
  repository::OutboxRelay relay(**store, **bus, loop, metrics);
  relay.start();
  for (;;) ::pause();  // the relay kills the process
}

async::Task<void> follow(bus::TableFollower& follower, async::Scope& scope) { co_await follower.run(scope); }

TEST(OutboxCrash, DeathBetweenAppendAndDeleteRepeatsARecordThatReadersIgnore) {
  const TempFolder folder;
  const pid_t child = ::fork();
  if (child == 0) publish_and_die(folder / ".");
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself with " << status;

  metrics::Registry metrics;
  async::LoopThread loop("test");
  auto bus = bus::open_embedded_bus(folder / "bus.db", metrics);
  auto store = store::open_sqlite_store(folder / "store.db", metrics);
  ASSERT_TRUE(bus.ok() && store.ok());
  repository::OutboxRelay relay(**store, **bus, loop, metrics);
  relay.start();
  relay.stop(patience);

  std::vector<std::string> applied;
  std::promise<void> caught_up;
  bus::TableFollower follower(
      **bus, loop, std::string(fleet::topic::access), std::string(fleet::header::version),
      {.record = [&](const bus::Record& r) { applied.push_back(r.key); }, .caught_up = [&] { caught_up.set_value(); }});
  async::Scope scope(loop, "test");
  scope.spawn("follow", follow(follower, scope));
  ASSERT_EQ(caught_up.get_future().wait_for(patience), std::future_status::ready);
  scope.request_stop();
  async::run_on(loop, [&] { follower.wake(); });
  ASSERT_TRUE(scope.join(patience));
  EXPECT_EQ(follower.next_offsets().at(0), 2) << "published twice";
  EXPECT_EQ(applied, std::vector<std::string>{"dev1"}) << "applied once";
}

}  // namespace
}  // namespace fleetward::contract
