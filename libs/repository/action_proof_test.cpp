// From a hold in force to its proof, and what follows when the proof fails later.
#include "repository/action_fixture.hpp"
#include "repository/gateway_repository.hpp"

namespace fleetward::repository {
namespace {

class ProofTest : public ActionTest {
 protected:
  Action isolated() {
    fleet_of(20, "g");
    return *decided(violation("g-1", "g"));
  }
  Status note(std::int64_t version, bool good) {
    return run([&](store::Transaction& tx) {
      return note_enforced(tx, "g-1", version, {now_, "gateway", "gw", good, "words"}, now_);
    });
  }
  std::vector<std::string> steps(const std::string& id) {
    std::vector<std::string> out;
    const auto all = in<std::vector<ActionStep>>([&](store::Transaction& tx) { return steps_of(tx, id); });
    for (const auto& s : *all) out.push_back(s.step);
    return out;
  }
  bool waits(const std::string& id, const std::string& why) {
    return *in<bool>([&](store::Transaction& tx) { return mark_waiting(tx, id, why, now_); });
  }
};

TEST_F(ProofTest, OnlyGoodEvidenceStampsTheStopwatch) {
  const Action a = isolated();
  ASSERT_TRUE(note(a.access_version, false).ok());
  EXPECT_EQ(action(a.id).state, ActionState::verifying);
  EXPECT_EQ(action(a.id).stopwatch.enforced, Instant());
  EXPECT_EQ(steps(a.id).back(), "not_enforced");
  now_ += Millis(5);
  ASSERT_TRUE(note(a.access_version, true).ok());
  EXPECT_EQ(action(a.id).stopwatch.enforced, now_);
  EXPECT_EQ(steps(a.id).back(), "enforced");
  now_ += Millis(5);
  EXPECT_EQ(proven(a).stopwatch.enforced, now_ - Millis(5));
}

TEST_F(ProofTest, WaitsAreNotedOnceAndEndWithTheProof) {
  const Action a = isolated();
  EXPECT_TRUE(waits(a.id, "gateway gw2 is silent"));
  EXPECT_FALSE(waits(a.id, "gateway gw2 is silent"));
  EXPECT_TRUE(waits(a.id, "gateway gw3 is silent"));
  EXPECT_EQ(action(a.id).state, ActionState::verifying);
  EXPECT_EQ(proven(a).wait_reason, "");
  EXPECT_FALSE(waits(a.id, "gateway gw2 is silent")) << "it is open no more";
}

TEST_F(ProofTest, DriftWritesTheDesiredStateAgain) {
  const Action a = proven(isolated());
  const auto drift = [&](const std::string& id) {
    return *in<Action>([&](store::Transaction& tx) { return mark_drifted(tx, id, "gw: let through", {}, now_); });
  };
  const Action again = drift(a.id);
  EXPECT_EQ(again.access_version, a.access_version + 1);
  EXPECT_EQ(holds("g-1"), 1U);
  EXPECT_EQ(drift(a.id).access_version, again.access_version) << "only what is in effect drifts";
  const auto names = steps(a.id);
  EXPECT_EQ(std::count(names.begin(), names.end(), "drifted"), 1);
  EXPECT_EQ(proven(again).state, ActionState::in_effect);
}

TEST_F(ProofTest, WalksAllInAState) {
  fleet_of(30, "g");
  std::set<std::string> all;
  for (int i = 0; i < 7; ++i)
    all.insert(in<Action>([&](store::Transaction& tx) {
                 const std::string thing = fmt::format("g-{}", i);
                 return act_by_hand(tx, thing, "id-" + thing, HoldLevel::isolate, "x", "ann", Millis(1000), now_);
               })->id);
  std::set<std::string> met;
  for (std::string after;;) {
    const auto some = *in<std::vector<Action>>(
        [&](store::Transaction& tx) { return actions_after(tx, ActionState::executing, after, 3); });
    if (some.empty()) break;
    for (const Action& a : some) EXPECT_TRUE(met.insert(a.id).second);
    after = some.back().id;
  }
  EXPECT_EQ(met, all);
}

class GoneTest : public ActionTest {
 protected:
  Result<fleet::GoneGateway> gone(const fleet::GatewayHeartbeat& h) {
    return in<fleet::GoneGateway>([&](store::Transaction& tx) { return declare_gone(tx, h, "ann", "scrapped", now_); });
  }
  fleet::GatewayHeartbeat silent() const {
    fleet::GatewayHeartbeat h;
    h.instance = "gw";
    h.start_number = 3;
    h.time = now_ - std::chrono::hours(2);
    h.lease_end = now_ - std::chrono::hours(1);
    return h;
  }
};

TEST_F(GoneTest, IsSaidOfSilentOnesOnly) {
  auto h = silent();
  h.lease_end = now_ + Millis(1);
  EXPECT_EQ(gone(h).error().code, ErrorCode::failed_precondition);
  h.lease_end = now_ - Millis(1);
  EXPECT_EQ(gone(h).error().code, ErrorCode::failed_precondition) << "it is late, no more";
  h = silent();
  h.stopping = true;
  EXPECT_EQ(gone(h).error().code, ErrorCode::failed_precondition);
  ASSERT_TRUE(gone(silent()).ok());
  const auto all = *in<std::vector<fleet::GoneGateway>>([](store::Transaction& tx) { return gone_gateways(tx); });
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(all[0], (fleet::GoneGateway{"gw", 3, silent().time, "ann", "scrapped", now_}));
  EXPECT_EQ(fleet::standing_of(silent(), all.data(), now_), fleet::GatewayStanding::gone);
}

TEST_F(GoneTest, AFreeThingIsOneThatWasNeverActedOnIfThereIsOne) {
  const auto free = [this] { return *in<std::string>([](store::Transaction& tx) { return free_thing(tx); }); };
  const auto isolate = [this](const std::string& thing) {
    return *in<Action>([&](store::Transaction& tx) {
      return act_by_hand(tx, thing, "id-" + thing, HoldLevel::isolate, "x", "ann", Millis(1000), now_);
    });
  };
  EXPECT_EQ(free(), nobodys_name);
  fleet_of(2, "g");
  EXPECT_EQ(free(), "g-0");
  const Action first = isolate("g-0");
  EXPECT_EQ(free(), "g-1");
  isolate("g-1");
  EXPECT_EQ(free(), nobodys_name);
  ASSERT_TRUE(in<Action>([&](store::Transaction& tx) { return release(tx, first.id, "ann", "clean", now_); }));
  EXPECT_EQ(free(), "g-0");
}

}  // namespace
}  // namespace fleetward::repository
