#include "repository/action_fixture.hpp"

namespace fleetward::repository {
namespace {

TEST_F(ActionTest, ActsHoldsVerifiesAndProposesTheRevocation) {
  fleet_of(20, "g");
  const auto a = decided(violation("g-1", "g"));
  ASSERT_TRUE(a);
  EXPECT_EQ(a->state, ActionState::executing);
  EXPECT_EQ(a->access_version, 1);
  EXPECT_EQ(holds("g-1"), 1U);
  EXPECT_EQ(proven(*a).state, ActionState::in_effect);
  const auto all = in<std::vector<Action>>([](store::Transaction& tx) {
    return list_actions(tx, {"g-1", ""}, "", 10);
  });
  ASSERT_THAT(*all, SizeIs(2));
  const auto revoke =
      std::find_if(all->begin(), all->end(), [](const Action& x) { return x.level == HoldLevel::revoke; });
  ASSERT_NE(revoke, all->end());
  EXPECT_EQ(revoke->state, ActionState::awaiting_approval);
  EXPECT_EQ(revoke->follows, a->id);
}

TEST_F(ActionTest, FurtherViolationsOfAHeldThingJoinItsAction) {
  fleet_of(20, "g");
  const auto first = decided(violation("g-1", "g"));
  const auto second = decided(violation("g-1", "g", "destinations"));
  EXPECT_EQ(first->id, second->id);
  EXPECT_THAT(second->violations, SizeIs(2));
  EXPECT_EQ(holds("g-1"), 1U);
}

TEST_F(ActionTest, WhatNobodyVouchesForAsksAPerson) {
  fleet_of(20, "g");
  auto claimed = violation("g-1", "g");
  claimed.claimed = true;
  const auto first = decided(claimed);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->state, ActionState::awaiting_approval);
  EXPECT_THAT(first->wait_reason, HasSubstr("nobody vouches"));
  EXPECT_EQ(holds("g-1"), 0U);
  auto more = violation("g-1", "g", "destinations");
  more.claimed = true;
  EXPECT_EQ(decided(more)->state, ActionState::awaiting_approval) << "more of it is no better";
}

TEST_F(ActionTest, WhatSomebodyVouchesForActsAlsoBehindWhatNobodyDid) {
  fleet_of(20, "g");
  auto claimed = violation("g-1", "g");
  claimed.claimed = true;
  const auto first = decided(claimed);
  const auto second = decided(violation("g-1", "g", "destinations"));
  EXPECT_EQ(first->id, second->id);
  EXPECT_EQ(second->state, ActionState::executing);
  EXPECT_EQ(holds("g-1"), 1U);
}

TEST_F(ActionTest, TheSecondOfANewRuleWaitsForItsCanary) {
  fleet_of(40, "g");
  const auto first = decided(violation("g-1", "g"));
  const auto second = decided(violation("g-2", "g"));
  EXPECT_EQ(second->state, ActionState::proposed);
  EXPECT_THAT(second->wait_reason, HasSubstr("canary"));
  proven(*first);
  ASSERT_TRUE(in<bool>([&](store::Transaction& tx) -> Result<bool> {
                const Status s = reconsider_waiting(tx, policy_, now_);
                return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
              }).ok());
  EXPECT_EQ(in<Action>([&](store::Transaction& tx) { return get_action(tx, second->id); })->state,
            ActionState::executing);
}

TEST_F(ActionTest, AFailedCanaryMakesTheRestAsk) {
  fleet_of(40, "g");
  const auto first = decided(violation("g-1", "g"));
  ASSERT_TRUE(in<Action>([&](store::Transaction& tx) {
                return mark_failed(tx, first->id, "a session is open", {}, now_);
              }).ok());
  EXPECT_EQ(decided(violation("g-2", "g"))->state, ActionState::awaiting_approval);
}

TEST_F(ActionTest, CapsAreNeverExceededByAnySchedule) {
  fleet_of(60, "g");
  proven(*decided(violation("g-0", "g")));
  std::mt19937 random(7);
  std::vector<std::pair<Instant, std::string>> acted = {{now_, "g-0"}};
  for (int i = 0; i < 300; ++i) {
    now_ += Millis(random() % 1'200'000);
    const std::string thing = fmt::format("g-{}", random() % 60);
    const auto a = decided(violation(thing, "g", fmt::format("b{}", random() % 3)));
    if (!a || a->state != ActionState::executing || a->created != now_) continue;
    acted.emplace_back(now_, thing);
    proven(*a);
    if (random() % 2 == 0) {
      ASSERT_TRUE(in<Action>([&](store::Transaction& tx) { return release(tx, a->id, "admin", "clean", now_); }).ok());
    }
    for (const auto& [window, cap] : {std::pair(respond::hour_window, respond::caps_for(60).hour),
                                      {respond::day_window, respond::caps_for(60).day}}) {
      std::set<std::string> things;
      for (const auto& [at, who] : acted) {
        if (at > now_ - window) things.insert(who);
      }
      ASSERT_LE(static_cast<std::int64_t>(things.size()), cap);
    }
  }
  EXPECT_GE(acted.size(), 8U) << "the schedule acted at all";
}

TEST_F(ActionTest, TheBrakeStopsWhatFallsToOneBehavior) {
  fleet_of(2000, "g");
  proven(*decided(violation("g-0", "g")));
  int automatic = 1;
  std::string why;
  for (int i = 1; i < 20; ++i) {
    now_ += Millis(100);
    const auto a = decided(violation(fmt::format("g-{}", i), "g"));
    if (a->state == ActionState::executing) {
      ++automatic;
      proven(*a);
    } else {
      why = a->wait_reason;
    }
  }
  EXPECT_EQ(automatic, 9);
  EXPECT_THAT(why, HasSubstr("brake"));
}

TEST_F(ActionTest, ApprovalRefusalAndWhoMayGiveThem) {
  fleet_of(20, "g");
  policy_.playbook.entries[0].mode = respond::EntryMode::ask;
  const auto a = decided(violation("g-1", "g"));
  EXPECT_EQ(a->state, ActionState::awaiting_approval);
  EXPECT_EQ(holds("g-1"), 0U);
  const auto by = [&](auto what, const std::string& id, const std::string& who) {
    return in<Action>([&](store::Transaction& tx) { return what(tx, id, who, "because", now_); });
  };
  EXPECT_EQ(by(approve, a->id, "responder").error().code, ErrorCode::permission_denied);
  EXPECT_EQ(by(release, a->id, "admin").error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(by(approve, a->id, "admin")->state, ActionState::executing);
  EXPECT_EQ(holds("g-1"), 1U);
  EXPECT_EQ(by(approve, a->id, "admin").error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(by(release, a->id, "admin")->state, ActionState::released);
  EXPECT_EQ(by(release, a->id, "admin")->state, ActionState::released) << "again is no error";
  EXPECT_EQ(holds("g-1"), 0U);
  const auto other = decided(violation("g-2", "g"));
  EXPECT_EQ(by(refuse, other->id, "admin")->state, ActionState::refused);
  EXPECT_EQ(by(approve, other->id, "admin").error().code, ErrorCode::failed_precondition);
}

TEST_F(ActionTest, AReleasedThingThatIsInfectedAgainIsIsolatedAgain) {
  fleet_of(20, "g");
  const auto first = decided(violation("g-1", "g"));
  proven(*first);
  ASSERT_TRUE(in<Action>([&](store::Transaction& tx) { return release(tx, first->id, "admin", "clean", now_); }).ok());
  const auto open = in<std::vector<Action>>([](store::Transaction& tx) {
    return list_actions(tx, {"", "awaiting_approval"}, "", 10);
  });
  EXPECT_THAT(*open, SizeIs(0)) << "the revocation that would have followed is off the table";
  now_ += std::chrono::minutes(5);
  const auto again = decided(violation("g-1", "g"));
  ASSERT_TRUE(again);
  EXPECT_NE(again->id, first->id);
  EXPECT_EQ(again->state, ActionState::executing);
}

TEST_F(ActionTest, ACanaryReleasedBeforeItsProofMakesWay) {
  fleet_of(40, "g");
  const auto first = decided(violation("g-1", "g"));
  ASSERT_TRUE(
      in<Action>([&](store::Transaction& tx) { return release(tx, first->id, "admin", "mistake", now_); }).ok());
  EXPECT_EQ(decided(violation("g-2", "g"))->state, ActionState::executing);
}

TEST_F(ActionTest, WhatWasOnlyObservedDoesNotStandInTheWay) {
  fleet_of(20, "g");
  policy_.enforcing = false;
  decided(violation("g-1", "g"));
  policy_.enforcing = true;
  EXPECT_EQ(decided(violation("g-1", "g"))->state, ActionState::executing);
}

TEST_F(ActionTest, ObserveHoldsNobody) {
  fleet_of(20, "g");
  policy_.enforcing = false;
  const auto a = decided(violation("g-1", "g"));
  EXPECT_EQ(a->mode, "observe");
  EXPECT_EQ(holds("g-1"), 0U);
}

TEST_F(ActionTest, TheStopSwitchMakesEverythingAsk) {
  fleet_of(20, "g");
  ASSERT_TRUE(in<bool>([&](store::Transaction& tx) -> Result<bool> {
                const Status s = set_stop_switch(tx, true, "admin", "storm", now_);
                return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
              }).ok());
  EXPECT_THAT(decided(violation("g-1", "g"))->wait_reason, HasSubstr("stop switch"));
}

TEST_F(ActionTest, LeasesEndByOurRecordButNotRevocations) {
  fleet_of(20, "g");
  const auto a = decided(violation("g-1", "g"));
  proven(*a);
  now_ += std::chrono::hours(2);
  ASSERT_TRUE(in<bool>([&](store::Transaction& tx) -> Result<bool> {
                const Status s = end_leases(tx, "responder", now_);
                return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
              }).ok());
  EXPECT_EQ(holds("g-1"), 0U);
  EXPECT_EQ(in<Action>([&](store::Transaction& tx) { return get_action(tx, a->id); })->state, ActionState::released);
}

TEST_F(ActionTest, TheChainTellsAStepThatIsMissingOrWasChanged) {
  fleet_of(20, "g");
  const auto a = decided(violation("g-1", "g"));
  proven(*a);
  const auto broken = [&] {
    for (std::int32_t chain = 0; chain < 4; ++chain) {
      const auto r = in<bool>([&](store::Transaction& tx) -> Result<bool> {
        const Status s = check_chain(tx, chain);
        return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
      });
      if (!r) return true;
    }
    return false;
  };
  EXPECT_FALSE(broken());
  const auto tamper = [&](std::string_view sql) {
    return in<std::int64_t>([&](store::Transaction& tx) { return tx.execute(sql, {a->id}); }).ok();
  };
  ASSERT_TRUE(
      tamper("UPDATE action_steps SET event=replace(event, 'responder', 'nobody') WHERE action=$1 AND number=1"));
  EXPECT_TRUE(broken());
  ASSERT_TRUE(
      tamper("UPDATE action_steps SET event=replace(event, 'nobody', 'responder') WHERE action=$1 AND number=1"));
  EXPECT_FALSE(broken());
  ASSERT_TRUE(tamper("DELETE FROM action_steps WHERE action=$1 AND number=1"));
  EXPECT_TRUE(broken());
}

}  // namespace
}  // namespace fleetward::repository
