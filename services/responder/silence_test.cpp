// Gateways that are not heard of, and the test of the probe itself.
#include "repository/gateway_repository.hpp"
#include "services/responder/test_world.hpp"

namespace fleetward::responder {
namespace {

using std::chrono::hours;
using ::testing::Contains;
using ::testing::HasSubstr;

class SilenceTest : public ResponderTest {
 protected:
  // A gateway whose lease ended long ago, and what was last heard of it.
  TestGateway& lose(const std::string& name, bool fail_closed = false) {
    TestGateway& gateway = add_gateway(name);
    lost_ = gateway.beat(-hours(1), fail_closed);
    gateway.close();
    return gateway;
  }
  void declare_gone() {
    in_store<fleet::GoneGateway>(
        [&](store::Transaction& tx) { return repository::declare_gone(tx, lost_, "ann", "scrapped", now()); });
  }
  Action waiting(const std::string& id) {
    EXPECT_TRUE(eventually([&] { return !action(id).wait_reason.empty(); }));
    const Action a = action(id);
    EXPECT_EQ(a.state, ActionState::verifying) << words(a);
    return a;
  }
  std::ptrdiff_t times(const std::string& id, const std::string& step) {
    const auto all = steps(id);
    return std::count(all.begin(), all.end(), step);
  }
  fleet::GatewayHeartbeat lost_;
};

TEST_F(SilenceTest, IsWaitedForAndNamed) {
  lose("gw2");
  start();
  const Action a = waiting(act("cam").id);
  EXPECT_THAT(a.wait_reason, HasSubstr("gw2"));
  EXPECT_THAT(a.wait_reason, HasSubstr("fleetward gateways forget"));
  EXPECT_THAT(steps(a.id), Contains("waiting"));
  EXPECT_TRUE(counted("waiting", 1));
  EXPECT_EQ(count("failed"), 0U);
}

TEST_F(SilenceTest, OneThatIsTheOnlyGatewayIsWaitedForToo) {
  gateway().is_mute = true;
  gateway().beat(-hours(1));
  start();
  EXPECT_THAT(waiting(act("cam").id).wait_reason, HasSubstr("gw1"));
}

TEST_F(SilenceTest, ManyThatWaitAreNotInEachOthersWayAndEndWhenItReturns) {
  TestGateway& lost = lose("gw2");
  start();
  std::vector<std::string> ids;
  for (int i = 0; i < 40; ++i) {
    const std::string thing = fmt::format("many-{}", i);
    enrol(thing);
    ids.push_back(act(thing).id);
  }
  for (const std::string& id : ids) waiting(id);
  lost.open();
  lost.beat();
  for (const std::string& id : ids) {
    const Action done = reached(id, ActionState::in_effect);
    EXPECT_EQ(done.wait_reason, "");
    EXPECT_EQ(times(id, "waiting"), 1);
  }
}

TEST_F(SilenceTest, APersonsWordThatItIsGoneIsProof) {
  lose("gw2");
  start();
  const std::string id = waiting(act("cam").id).id;
  declare_gone();
  EXPECT_THAT(words(reached(id, ActionState::in_effect)), HasSubstr("declared gone by ann: scrapped"));
}

TEST_F(SilenceTest, OneThatWasDeclaredGoneCountsAgainWhenItIsHeardOf) {
  TestGateway& lost = lose("gw2");
  start();
  declare_gone();
  reached(act("cam").id, ActionState::in_effect);
  lost.beat(-hours(1));  // a new word of it, though its lease is over again
  enrol("cam2");
  EXPECT_THAT(waiting(act("cam2").id).wait_reason, HasSubstr("gw2"));
}

TEST_F(SilenceTest, OneThatAdmitsNobodyWithoutALeaseNeedsNoWaiting) {
  lose("gw2", true);
  start();
  EXPECT_THAT(words(reached(act("cam").id, ActionState::in_effect)), HasSubstr("admits nobody since its lease ended"));
}

TEST_F(SilenceTest, ARestartWaitsOnWithoutSayingSoAgain) {
  lose("gw2");
  start();
  const std::string id = waiting(act("cam").id).id;
  stop();
  start();
  ASSERT_TRUE(eventually([&] { return gateway().probes >= 2; }));
  enrol("cam2");
  waiting(act("cam2").id);
  EXPECT_EQ(times(id, "waiting"), 1);
}

TEST_F(SilenceTest, BadWordsOfAGatewayDoNotStopTheWatch) {
  gateway().has_session = true;
  start();
  const std::string id = act("cam").id;
  ASSERT_TRUE(eventually([&] { return steps(id).size() >= 2; }));
  EXPECT_THAT(steps(id), Contains("not_enforced"));
  EXPECT_EQ(action(id).stopwatch.enforced, Instant());
  gateway().has_session = false;
  const Action done = reached(id, ActionState::in_effect);
  EXPECT_EQ(done.stopwatch.enforced, done.stopwatch.verified) << "by then it was seen to be so";
}

using SelfTest = ResponderTest;

TEST_F(SelfTest, OfAGatewayThatRefusesEverybodyIsNoProof) {
  config_.verify_limit = short_limit;
  gateway().refuses_all = true;
  start_and_settle();
  const Action failed = reached(act("cam").id, ActionState::failed);
  EXPECT_THAT(failed.wait_reason, HasSubstr("gw1: its refusals prove nothing"));
  EXPECT_THAT(failed.wait_reason, HasSubstr("a probe for free, which is free, was refused"));
  EXPECT_GE(count("self_tests", {{"result", "failed"}}), 1U);
  gateway().refuses_all = false;
  ASSERT_TRUE(eventually([&] { return count("self_tests", {{"result", "passed"}}) > 0; }));
  enrol("cam2");
  reached(act("cam2").id, ActionState::in_effect);
}

TEST_F(SelfTest, IsMadeOnceAndNotForEachAction) {
  start();
  ASSERT_TRUE(eventually([&] { return count("self_tests", {{"result", "passed"}}) == 1; }));
  for (const char* thing : {"a", "b", "c"}) {
    enrol(thing);
    reached(act(thing).id, ActionState::in_effect);
  }
  EXPECT_EQ(gateway().free_probes, 1);
}

TEST_F(SelfTest, WorksWithoutAnyThingThatIsFree) {
  const std::string one = act("free").id;
  const std::string two = act("cam").id;
  start();
  reached(one, ActionState::in_effect);
  reached(two, ActionState::in_effect);
  EXPECT_GE(gateway().free_probes, 1);
}

}  // namespace
}  // namespace fleetward::responder
