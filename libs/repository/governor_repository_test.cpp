#include "fleet/topics.hpp"
#include "repository/action_fixture.hpp"

namespace fleetward::repository {
namespace {

using fleet::GovernorKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class GovernorTest : public ActionTest {
 protected:
  std::vector<fleet::GovernorCondition> conditions() {
    return *in<std::vector<fleet::GovernorCondition>>([](store::Transaction& tx) { return governor_conditions(tx); });
  }
  std::vector<std::string> log() {
    std::vector<std::string> out;
    const auto all =
        in<std::vector<fleet::GovernorEvent>>([](store::Transaction& tx) { return governor_log(tx, 100); });
    for (const auto& e : *all)
      out.push_back(fmt::format("{} {} {}: {}", e.actor, to_string(e.step), to_string(e.condition.kind), e.why));
    return out;
  }
  Status tend() {
    return run([&](store::Transaction& tx) { return tend_governor(tx, now_); });
  }
  // So many things fall to the same behavior at once.
  void storm(int things) {
    for (int i = 0; i < things; ++i) decided(violation(fmt::format("g-{}", i), "g"));
  }
  Status stop(bool on, const std::string& actor = "anna") {
    return run([&](store::Transaction& tx) { return set_stop_switch(tx, on, actor, "storm", now_); });
  }
};

TEST_F(GovernorTest, TheSwitchIsRecordedOnceWithWhoWhenAndWhy) {
  EXPECT_THAT(conditions(), IsEmpty());
  ASSERT_TRUE(stop(true).ok());
  ASSERT_TRUE(stop(true, "ben").ok()) << "again is no error";
  ASSERT_THAT(conditions(), SizeIs(1));
  EXPECT_EQ(conditions()[0], (fleet::GovernorCondition{GovernorKind::stop_switch, "", "anna", "storm", now_}));
  now_ += Millis(5'000);
  ASSERT_TRUE(stop(false, "ben").ok());
  ASSERT_TRUE(stop(false, "ben").ok());
  EXPECT_THAT(conditions(), IsEmpty());
  EXPECT_THAT(log(), ElementsAre("ben ended stop_switch: storm", "anna raised stop_switch: storm"));
  EXPECT_EQ(count("SELECT count(*) FROM outbox WHERE topic='fleetward.actions' AND key='governor'"), 2);
}

TEST_F(GovernorTest, TheStopFileMakesEverythingAskAsLongAsItIsThere) {
  fleet_of(40, "g");
  const auto note = [&](const std::optional<std::string>& words) {
    return run([&](store::Transaction& tx) { return note_stop_file(tx, "r1", "/data/STOP", words, now_); });
  };
  ASSERT_TRUE(note("ben: a storm").ok());
  ASSERT_TRUE(note("ben: a storm").ok());
  ASSERT_THAT(conditions(), SizeIs(1));
  EXPECT_EQ(conditions()[0].subject, "r1:/data/STOP");
  ASSERT_TRUE(
      run([&](store::Transaction& tx) { return note_stop_file(tx, "r2", "/data/STOP", std::nullopt, now_); }).ok());
  EXPECT_THAT(conditions(), SizeIs(1)) << "another responder's file is another one";
  EXPECT_EQ(conditions()[0].why, "ben: a storm");
  policy_.stopped = true;
  EXPECT_EQ(decided(violation("g-1", "g"))->state, ActionState::awaiting_approval);
  ASSERT_TRUE(note(std::nullopt).ok());
  EXPECT_THAT(conditions(), IsEmpty());
  EXPECT_THAT(log(), SizeIs(2));
  policy_.stopped = false;
  EXPECT_EQ(decided(violation("g-2", "g"))->state, ActionState::executing);
}

TEST_F(GovernorTest, ABrakeIsToldOnceAndLetGoByAPerson) {
  fleet_of(2000, "g");
  storm(14);
  ASSERT_THAT(conditions(), SizeIs(1));
  EXPECT_EQ(conditions()[0].kind, GovernorKind::brake);
  EXPECT_EQ(conditions()[0].subject, "p/ports");
  EXPECT_THAT(log(), SizeIs(1));
  now_ += std::chrono::minutes(5);
  EXPECT_THAT(decided(violation("g-20", "g"))->wait_reason, HasSubstr("brake"));
  const auto let_go = [&](const std::string& behavior) {
    return run([&](store::Transaction& tx) { return release_brake(tx, behavior, "anna", "an update", now_); });
  };
  EXPECT_EQ(let_go("p/other").error().code, ErrorCode::not_found);
  ASSERT_TRUE(let_go("p/ports").ok());
  EXPECT_EQ(let_go("p/ports").error().code, ErrorCode::not_found);
  EXPECT_TRUE(let_go("*").ok()) << "none is none too many";
  EXPECT_EQ(log()[0], "anna ended brake: an update");
  EXPECT_THAT(decided(violation("g-21", "g"))->wait_reason, HasSubstr("canary"));
}

TEST_F(GovernorTest, ACapIsToldOnceAndEndsWithItsWindow) {
  fleet_of(4, "g");
  proven(*decided(violation("g-0", "g")));
  decided(violation("g-1", "g"));
  decided(violation("g-2", "g"));
  ASSERT_THAT(conditions(), SizeIs(1));
  EXPECT_EQ(conditions()[0].kind, GovernorKind::cap);
  EXPECT_EQ(conditions()[0].subject, "g");
  ASSERT_TRUE(tend().ok());
  EXPECT_THAT(conditions(), SizeIs(1)) << "the window is still used up";
  const auto uses =
      in<std::vector<respond::GroupUse>>([&](store::Transaction& tx) { return group_uses(tx, now_, 10); });
  ASSERT_THAT(*uses, SizeIs(1));
  EXPECT_EQ(uses->front().acted_day, 1);
  now_ += std::chrono::hours(25);
  ASSERT_TRUE(tend().ok());
  EXPECT_THAT(conditions(), IsEmpty());
  EXPECT_THAT(log(), SizeIs(2));
}

TEST_F(GovernorTest, AFailedCanaryIsResetByAPersonOnly) {
  fleet_of(40, "g");
  const auto first = decided(violation("g-0", "g"));
  const auto reset = [&](const std::string& rule) {
    return run([&](store::Transaction& tx) { return reset_canary(tx, rule, "anna", "gateway was down", now_); });
  };
  EXPECT_EQ(reset("isolate/p/ports").error().code, ErrorCode::failed_precondition) << "it waits";
  EXPECT_EQ(reset("isolate/p/none").error().code, ErrorCode::not_found);
  ASSERT_TRUE(in<Action>([&](store::Transaction& tx) { return mark_failed(tx, first->id, "no", {}, now_); }));
  EXPECT_THAT(decided(violation("g-1", "g"))->wait_reason, HasSubstr("canary"));
  ASSERT_THAT(*in<std::vector<CanaryRow>>([](store::Transaction& tx) { return list_canaries(tx, 10); }), SizeIs(1));
  ASSERT_TRUE(reset("isolate/p/ports").ok());
  EXPECT_THAT(log(), ElementsAre("anna reset canary: gateway was down"));
  EXPECT_EQ(decided(violation("g-2", "g"))->state, ActionState::executing) << "a new canary";
}

TEST_F(GovernorTest, NothingOlderThanItsWindowIsKept) {
  fleet_of(2000, "g");
  proven(*decided(violation("g-0", "g")));
  storm(3);
  ASSERT_TRUE(tend().ok());
  EXPECT_EQ(count("SELECT count(*) FROM governor_hits"), 3);
  EXPECT_EQ(count("SELECT count(*) FROM governor_acted"), 3);
  now_ += std::chrono::minutes(2);
  ASSERT_TRUE(tend().ok());
  EXPECT_EQ(count("SELECT count(*) FROM governor_hits"), 0);
  EXPECT_EQ(count("SELECT count(*) FROM governor_acted"), 3) << "a day counts";
  now_ += std::chrono::hours(25);
  ASSERT_TRUE(tend().ok());
  EXPECT_EQ(count("SELECT count(*) FROM governor_acted"), 0);
  EXPECT_EQ(count("SELECT count(*) FROM governor_canaries"), 1);
  now_ += canary_kept;
  ASSERT_TRUE(stop(true).ok());
  ASSERT_TRUE(tend().ok());
  EXPECT_EQ(count("SELECT count(*) FROM governor_canaries"), 0) << "a rule of long ago is new again";
  now_ += governor_log_kept;
  ASSERT_TRUE(tend().ok());
  EXPECT_EQ(count("SELECT count(*) FROM governor_log"), 0);
  EXPECT_THAT(conditions(), SizeIs(1)) << "what is on stays on";
}

TEST_F(GovernorTest, AFailedCanaryIsNotForgotten) {
  fleet_of(40, "g");
  const auto first = decided(violation("g-0", "g"));
  ASSERT_TRUE(in<Action>([&](store::Transaction& tx) { return mark_failed(tx, first->id, "no", {}, now_); }));
  now_ += canary_kept * 2;
  ASSERT_TRUE(tend().ok());
  EXPECT_EQ(count("SELECT count(*) FROM governor_canaries WHERE state='failed'"), 1);
}

// What an installation had before the conditions were one table.
TEST(GovernorMigration, TakesBrakesAndTheSwitchOver) {
  std::string pattern = (std::filesystem::temp_directory_path() / "governor-XXXXXX").string();
  const std::filesystem::path folder = ::mkdtemp(pattern.data());
  metrics::Registry metrics;
  auto store = *open_empty_store(folder.string(), metrics);
  auto steps = all_migrations();
  std::erase_if(steps, [](const store::Migration& m) { return m.number >= 8; });
  ASSERT_TRUE(store->migrate(steps).ok());
  const auto run = [&](const std::function<Status(store::Transaction&)>& work) {
    std::promise<Status> done;
    store->run(work, [&](Status s) { done.set_value(std::move(s)); });
    return done.get_future().get();
  };
  ASSERT_TRUE(run([](store::Transaction& tx) -> Status {
                for (const char* sql : {"INSERT INTO governor_brakes VALUES('p/ports', 5)",
                                        "INSERT INTO stop_switch VALUES(1, 1, 'anna', 'storm', 7)",
                                        "INSERT INTO governor_canaries VALUES('e/p/ports', 'a', 'failed')"}) {
                  if (const auto done = tx.execute(sql); !done) return done.error();
                }
                return {};
              }).ok());
  ASSERT_TRUE(store->migrate(all_migrations()).ok());
  std::vector<fleet::GovernorCondition> found;
  ASSERT_TRUE(run([&](store::Transaction& tx) -> Status {
                auto read = governor_conditions(tx);
                if (!read) return read.error();
                found = std::move(*read);
                return {};
              }).ok());
  EXPECT_THAT(
      found,
      ElementsAre(fleet::GovernorCondition{GovernorKind::stop_switch, "", "anna", "storm", instant_from_ms(7)},
                  fleet::GovernorCondition{GovernorKind::brake, "p/ports", "responder", "", instant_from_ms(5)}));
  store.reset();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace fleetward::repository
