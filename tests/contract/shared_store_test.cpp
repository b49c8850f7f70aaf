// Two processes' worth of stores on one database: what several responders decide at once, and who publishes it.
#include <future>
#include <map>

#include "async/eventually.hpp"
#include "contract/bus_fixture.hpp"
#include "fleet/topics.hpp"
#include "repository/action_fixture.hpp"
#include "repository/outbox.hpp"
#include "repository/outbox_relay.hpp"
#include "store/postgres_for_tests.hpp"

namespace fleetward::contract {
namespace {

using fleet::ActionState;
using repository::Decision;
using store::Transaction;

class SharedStore : public repository::ActionTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ActionTest::SetUp());
    auto opened = store::open_postgres_store(database_, metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    other_ = std::move(*opened);
  }
  void TearDown() override {
    other_.reset();
    ActionTest::TearDown();
  }
  Result<std::unique_ptr<store::Store>> open_store() override {
    database_ = store::testing_support::PostgresServer::shared().new_database();
    return store::open_postgres_store(database_, metrics_);
  }
  store::Store& either(std::size_t i) { return i % 2 == 0 ? *store_ : *other_; }

  // All at once, half of them in each store: the state that each came to.
  std::vector<ActionState> decided_at_once(const std::vector<fleet::ViolationEvent>& violations) {
    std::vector<std::promise<std::string>> failures(violations.size());
    std::vector<ActionState> states(violations.size());
    for (std::size_t i = 0; i < violations.size(); ++i) {
      either(i).run(
          [this, &violations, &states, i](Transaction& tx) -> Status {
            const Result<Decision> d = repository::decide(tx, policy_, violations[i], now_);
            if (!d) return d.error();
            states[i] = d->action->state;
            return {};
          },
          [&failures, i](const Status& s) { failures[i].set_value(s.ok() ? "" : s.error().message); });
    }
    for (auto& failure : failures) EXPECT_EQ(failure.get_future().get(), "");
    return states;
  }

  store::PostgresOptions database_;
  std::unique_ptr<store::Store> other_;
};

TEST_F(SharedStore, TheCapsHoldWithTwoRespondersAtOnce) {
  fleet_of(60, "g");
  proven(*decided(violation("g-0", "g")));
  std::vector<fleet::ViolationEvent> violations;
  for (int i = 1; i <= 40; ++i) violations.push_back(violation(fmt::format("g-{}", i), "g"));
  const auto states = decided_at_once(violations);
  const auto acted = std::count(states.begin(), states.end(), ActionState::executing);
  EXPECT_EQ(acted + 1, respond::caps_for(60).hour) << "as one after the other: all that the cap allows, and no more";
  EXPECT_EQ(count("SELECT count(*) FROM holds"), acted + 1);
  EXPECT_EQ(count("SELECT count(DISTINCT thing) FROM governor_acted"), acted + 1);
}

TEST_F(SharedStore, TheChainOfStepsIsWholeWithTwoRespondersAtOnce) {
  fleet_of(60, "g");
  policy_.playbook.entries[0].mode = respond::EntryMode::ask;
  std::vector<fleet::ViolationEvent> violations;
  for (int i = 0; i < 40; ++i) violations.push_back(violation(fmt::format("g-{}", i % 20), "g", fmt::format("b{}", i)));
  decided_at_once(violations);
  const std::int64_t chains = count("SELECT count(*) FROM action_chain");
  ASSERT_GT(chains, 0);
  std::vector<std::int64_t> numbers;
  ASSERT_TRUE(run([&](Transaction& tx) -> Status {
                const auto rows = tx.query("SELECT chain FROM action_chain");
                if (!rows) return rows.error();
                numbers.clear();
                for (const store::Row& row : *rows) numbers.push_back(row.integer(0));
                return {};
              }).ok());
  for (const std::int64_t number : numbers) {
    const Status whole =
        run([&](Transaction& tx) { return repository::check_chain(tx, static_cast<std::int32_t>(number)); });
    EXPECT_TRUE(whole.ok()) << whole.error().message;
  }
  EXPECT_EQ(count("SELECT count(*) FROM action_steps"), count("SELECT sum(position) FROM action_chain"));
}

TEST_F(SharedStore, VersionsOfAKeyRiseInTheOrderOfTheOutbox) {
  constexpr std::size_t changes = 60;
  std::vector<std::promise<bool>> told(changes);
  for (std::size_t i = 0; i < changes; ++i) {
    either(i).run(
        [i](Transaction& tx) -> Status {
          const std::string key = fmt::format("dev{}", i % 3);
          const auto version = repository::next_version(tx, fleet::topic::access, key);
          if (!version) return version.error();
          const fleet::CloudEvent event{
              fmt::format("{}-{}", key, *version), "/fleetward/test", "test", key, instant_from_ms(0), {{"n", i}}};
          return repository::publish(tx, {std::string(fleet::topic::access), *version, event, {}});
        },
        [&told, i](const Status& s) { told[i].set_value(s.ok()); });
  }
  for (auto& one : told) EXPECT_TRUE(one.get_future().get());
  EXPECT_EQ(count("SELECT count(*) FROM outbox"), static_cast<std::int64_t>(changes));
  EXPECT_EQ(
      count("SELECT count(*) FROM outbox a JOIN outbox b ON a.key = b.key AND a.id < b.id AND a.version >= b.version"),
      0);
}

// Each store has a relay, as each process has. Whoever has the lease publishes; the other one takes over when it goes.
class TwoRelays : public BusTest {
 protected:
  void SetUp() override {
    BusTest::SetUp();
    for (const auto& info : fleet::all_topics) {
      const auto kind = info.is_table ? bus::TopicKind::table : bus::TopicKind::log;
      ASSERT_TRUE(bus_->ensure_topics({{std::string(info.name), 1, kind, Millis(0)}}).ok());
    }
    const auto database = store::testing_support::PostgresServer::shared().new_database();
    for (auto& store : stores_) {
      auto opened = store::open_postgres_store(database, metrics_);
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      store = std::move(*opened);
      ASSERT_TRUE(store->migrate(repository::all_migrations()).ok());
    }
  }
  void TearDown() override {
    for (auto& store : stores_) store.reset();
    BusTest::TearDown();
  }
  std::unique_ptr<repository::OutboxRelay> relay(std::size_t i) {
    auto made = std::make_unique<repository::OutboxRelay>(
        *stores_[i], *bus_, loop_, metrics_,
        repository::RelayOptions{.holder = fmt::format("relay-{}", i), .lease = Millis(400), .batch_rows = 7});
    made->start();
    return made;
  }
  void say(std::size_t i) {
    const auto done = store::run_and_wait<void>(*stores_[i % 2], [i](Transaction& tx) -> Status {
      const std::string key = fmt::format("dev{}", i % 5);
      const auto version = repository::next_version(tx, fleet::topic::access, key);
      if (!version) return version.error();
      const fleet::CloudEvent event{
          fmt::format("{}-{}", key, *version), "/fleetward/test", "test", key, instant_from_ms(0), {{"n", i}}};
      return repository::publish(tx, {std::string(fleet::topic::access), *version, event, {}});
    });
    EXPECT_TRUE(done.ok()) << done.error().message;
  }
  std::int64_t waiting() {
    return *store::run_and_wait<std::int64_t>(*stores_[0], [](Transaction& tx) -> Result<std::int64_t> {
      const auto rows = tx.query("SELECT count(*) FROM outbox");
      if (!rows) return rows.error();
      return rows->at(0).integer(0);
    });
  }

  std::array<std::unique_ptr<store::Store>, 2> stores_;
};

INSTANTIATE_TEST_SUITE_P(Backends, TwoRelays, ::testing::Values(Backend::memory), name_of);

TEST_P(TwoRelays, PublishAllInOrderAlsoWhenTheOneGoes) {
  auto first = relay(0);
  auto second = relay(1);
  constexpr std::size_t changes = 100;
  for (std::size_t i = 0; i < changes; ++i) {
    say(i);
    if (i == changes / 2) first->stop(patience);  // it keeps its lease, which runs out
  }
  EXPECT_TRUE(async::testing_support::eventually([this] { return waiting() == 0; }, Millis(30'000)));
  second->stop(patience);
  std::map<std::string, std::int64_t> versions;
  for (const bus::Record& r : read_to_end(std::string(fleet::topic::access))) {
    const std::int64_t version = std::atoll(std::string(*bus::find_header(r.headers, fleet::header::version)).c_str());
    EXPECT_LE(version, versions[r.key] + 1) << "one of " << r.key << " was left out";
    versions[r.key] = std::max(versions[r.key], version);
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(versions[fmt::format("dev{}", i)], 20);
}

}  // namespace
}  // namespace fleetward::contract
