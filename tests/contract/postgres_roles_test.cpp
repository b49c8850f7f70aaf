// deploy/postgres/roles.sql: each role can do its work over PostgreSQL, and nothing that is another's.
#include "async/eventually.hpp"
#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/action_fixture.hpp"
#include "repository/audit_repository.hpp"
#include "repository/authority_repository.hpp"
#include "repository/effects.hpp"
#include "repository/gateway_repository.hpp"
#include "repository/incident_changes.hpp"
#include "repository/incident_repository.hpp"
#include "repository/outbox_relay.hpp"
#include "repository/profile_repository.hpp"
#include "repository/violation_repository.hpp"
#include "store/postgres_for_tests.hpp"

namespace fleetward::contract {
namespace {

using fleet::Action;
using store::Transaction;
using store::testing_support::PostgresServer;
using ::testing::HasSubstr;

constexpr const char* owner = "fleetward_owner";

class PostgresRoles : public repository::ActionTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ActionTest::SetUp());
    server_.run_file(database_, "deploy/postgres/roles.sql");
  }
  // The schema is made by the owner, who is no superuser.
  Result<std::unique_ptr<store::Store>> open_store() override {
    database_ = server_.new_database();
    server_.sql(database_,
                fmt::format("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{0}') THEN CREATE "
                            "ROLE {0} LOGIN; END IF; END $$; ALTER DATABASE {1} OWNER TO {0}",
                            owner, database_.database));
    return open_as(owner);
  }
  Result<std::unique_ptr<store::Store>> open_as(const std::string& user) {
    server_.sql(database_, fmt::format("ALTER ROLE {} PASSWORD 'of-{}'", user, user));
    store::PostgresOptions options = database_;
    options.user = user;
    options.password = "of-" + user;
    return store::open_postgres_store(options, metrics_);
  }
  // From here on the test is that role.
  void become(const std::string& role) {
    auto opened = open_as(role == owner ? role : "fleetward_" + role);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
    const Status looked = store_->migrate(repository::all_migrations());
    ASSERT_TRUE(looked.ok()) << looked.error().message;
  }
  void expect_denied(const std::string& sql) {
    const Status tried = run([&](Transaction& tx) -> Status {
      const auto done = tx.execute(sql);
      return done.ok() ? Status() : Status(done.error());
    });
    ASSERT_FALSE(tried.ok()) << sql;
    EXPECT_EQ(tried.error().code, ErrorCode::permission_denied) << sql << ": " << tried.error().message;
  }
  void expect_done(const std::function<Status(Transaction&)>& work) {
    const Status done = run(work);
    EXPECT_TRUE(done.ok()) << done.error().message;
  }
  template <class T>
  static Status status_of(const Result<T>& result) {
    return result.ok() ? Status() : Status(result.error());
  }

  PostgresServer& server_ = PostgresServer::shared();
  store::PostgresOptions database_;
};

constexpr std::array<const char*, 5> all_roles = {"api", "historian", "notifier", "pki", "responder"};

TEST_F(PostgresRoles, TheApiKeepsTheRegistryAndAnswersForPeople) {
  become("api");
  fleet_of(3, "g");
  server_.sql(database_, "INSERT INTO violations_active VALUES('v', 'g-1', 'p', 'b', '', 0, 1, '{}')");
  expect_done([&](Transaction& tx) { return repository::set_stop_switch(tx, true, "anna", "storm", now_); });
  expect_done([&](Transaction& tx) { return repository::set_stop_switch(tx, false, "anna", "over", now_); });
  expect_done([&](Transaction& tx) {
    return repository::write_audit(tx, {now_, "anna", "v1.things.quarantine", "/things/g-1", "1", "127.0.0.1"});
  });
  const auto held = in<Action>([&](Transaction& tx) {
    return repository::act_by_hand(tx, "g-1", "id-g-1", fleet::HoldLevel::isolate, "seen", "anna",
                                   std::chrono::hours(1), now_);
  });
  ASSERT_TRUE(held.ok()) << held.error().message;
  expect_done([&](Transaction& tx) { return status_of(repository::release(tx, held->id, "anna", "clean", now_)); });
  expect_done([&](Transaction& tx) { return repository::delete_thing(tx, "g-2", now_); });
  expect_done(
      [&](Transaction& tx) { return repository::set_verification(tx, "v", "FALSE_POSITIVE", "", "anna", now_); });
  expect_done([&](Transaction& tx) { return status_of(repository::list_incidents(tx, std::nullopt, "", 10)); });
  expect_done([&](Transaction& tx) { return status_of(repository::list_authorities(tx)); });
  expect_denied("SELECT * FROM audit_log");
  expect_denied("DELETE FROM audit_log");
  expect_denied("UPDATE action_steps SET actor='nobody'");
  expect_denied("INSERT INTO incidents VALUES('i', 'e', 1, 1, 'high', 1, 0)");
}

TEST_F(PostgresRoles, TheResponderDecidesAndChangesNoHistory) {
  become("api");
  fleet_of(20, "g");
  become("responder");
  const auto action = decided(violation("g-1", "g"));
  ASSERT_TRUE(action);
  proven(*action);
  expect_done([&](Transaction& tx) { return repository::end_leases(tx, "responder", now_ + std::chrono::hours(2)); });
  expect_done([&](Transaction& tx) { return repository::tend_governor(tx, now_); });
  expect_done([&](Transaction& tx) { return repository::reconsider_waiting(tx, policy_, now_); });
  expect_done([&](Transaction& tx) { return repository::note_stop_file(tx, "one", "/stop", "storm", now_); });
  expect_done([&](Transaction& tx) { return status_of(repository::first_time(tx, "responder", "a", now_)); });
  expect_done([&](Transaction& tx) {
    return status_of(repository::prune_effects(tx, "responder", now_ + Millis(5'000), Millis(1)));
  });
  expect_done([&](Transaction& tx) { return status_of(repository::free_thing(tx)); });
  expect_done([&](Transaction& tx) { return status_of(repository::gone_gateways(tx)); });
  expect_done([&](Transaction& tx) {
    return repository::ask_for_certificate(tx, {"r1", true, "g-1", "id-g-1", "key", true}, now_);
  });
  expect_done([&](Transaction& tx) { return repository::ask_for_new_crl(tx); });
  expect_denied("UPDATE action_steps SET actor='nobody'");
  expect_denied("DELETE FROM action_steps");
  expect_denied("DELETE FROM actions");
  expect_denied("INSERT INTO things VALUES('x', 'x', 1, '', '', 1)");
  expect_denied(
      "INSERT INTO audit_log(at_ms, actor, operation, target, request_id, source) VALUES(1, '', '', '', '', '')");
}

TEST_F(PostgresRoles, TheAuthoritySignsAndDecidesNothing) {
  become("pki");
  expect_done([&](Transaction& tx) { return status_of(repository::open_signing_requests(tx, 10)); });
  expect_done([&](Transaction& tx) { return repository::forget_old_requests(tx, now_); });
  expect_done([&](Transaction& tx) { return repository::save_crl(tx, {1, to_bytes("der"), now_, now_, 0}); });
  expect_done([&](Transaction& tx) { return repository::save_crl(tx, {2, to_bytes("der"), now_, now_, 0}); });
  expect_done([&](Transaction& tx) { return status_of(repository::list_authorities(tx)); });
  expect_denied("SELECT * FROM actions");
  expect_denied("DELETE FROM certificates");
  expect_denied("INSERT INTO holds VALUES('x', 'x', 'x', 'isolate', '', '', 1, 1)");
}

TEST_F(PostgresRoles, TheHistorianKeepsViolations) {
  become("historian");
  expect_done(
      [&](Transaction& tx) { return status_of(repository::record_violation_event(tx, violation("g-1", "g"))); });
  expect_done([&](Transaction& tx) {
    return status_of(repository::prune_violation_events(tx, now_ + std::chrono::hours(24 * 400)));
  });
  expect_denied("SELECT * FROM certificates");
  expect_denied("SELECT * FROM actions");
  expect_denied("UPDATE violation_events SET body=''");
}

TEST_F(PostgresRoles, TheNotifierKeepsIncidents) {
  become("notifier");
  fleet::ActionEvent event;
  event.id = "a-1";
  event.number = 1;
  event.step = "proposed";
  event.time = now_;
  event.action.id = "a";
  event.action.thing = "g-1";
  event.action.entry = "isolate";
  event.action.created = now_;
  expect_done([&](Transaction& tx) { return repository::fold_actions(tx, {event}, now_); });
  expect_done([&](Transaction& tx) -> Status {
    const auto due = repository::due_pages(tx, "pager", now_, std::chrono::hours(1), 10);
    if (!due) return due.error();
    for (const auto& incident : *due) {
      if (const Status noted = repository::note_page(tx, incident, "pager", now_); !noted) return noted;
    }
    return {};
  });
  expect_done([&](Transaction& tx) { return status_of(repository::receiver_since(tx, "hook", now_)); });
  expect_done(
      [&](Transaction& tx) { return status_of(repository::prune_incidents(tx, now_ + std::chrono::hours(24 * 400))); });
  EXPECT_GT(count("SELECT count(*) FROM incidents"), 0);
  expect_denied("SELECT * FROM actions");
  expect_denied("UPDATE things SET version=7");
}

TEST_F(PostgresRoles, AnyOfThemPublishesAndNoneChangesTheSchema) {
  async::LoopThread loop("relay");
  auto bus = bus::make_memory_bus(loop, metrics_, {});
  for (const auto& info : fleet::all_topics) {
    const auto kind = info.is_table ? bus::TopicKind::table : bus::TopicKind::log;
    ASSERT_TRUE(bus->ensure_topics({{std::string(info.name), 1, kind, Millis(0)}}).ok());
  }
  for (const char* role : all_roles) {
    become(role);
    expect_done([&](Transaction& tx) -> Status {
      const fleet::CloudEvent event{role, "/fleetward/test", "test", role, now_, {{"n", 1}}};
      return repository::publish(tx, {std::string(fleet::topic::access), 1, event, {}});
    });
    repository::OutboxRelay relay(*store_, *bus, loop, metrics_, {.holder = "relay", .lease = Millis(10'000)});
    relay.start();
    EXPECT_TRUE(
        async::testing_support::eventually([&] { return count("SELECT count(*) FROM outbox") == 0; }, Millis(20'000)))
        << role;
    relay.stop(Millis(20'000));
    expect_denied("CREATE TABLE mine(a BIGINT)");
    expect_denied("DELETE FROM migrations");
    auto newer = repository::all_migrations();
    newer.push_back({999, "of the future", "CREATE TABLE future(a BIGINT)"});
    const Status behind = store_->migrate(newer);
    ASSERT_FALSE(behind.ok()) << role;
    EXPECT_EQ(behind.error().code, ErrorCode::failed_precondition);
    EXPECT_THAT(behind.error().message, HasSubstr("owner"));
  }
  store_.reset();
  loop.stop();
}

TEST_F(PostgresRoles, EachTableIsSomebodys) {
  EXPECT_EQ(
      server_.sql(database_,
                  "SELECT tablename FROM pg_tables t WHERE schemaname = 'public' AND NOT (SELECT relispartition FROM "
                  "pg_class WHERE oid = t.tablename::regclass) AND NOT EXISTS (SELECT FROM "
                  "information_schema.role_table_grants g WHERE g.table_name = t.tablename AND g.grantee LIKE "
                  "'fleetward\\_%' AND g.grantee <> 'fleetward_owner')"),
      "");
}

}  // namespace
}  // namespace fleetward::contract
