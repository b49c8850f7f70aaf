// What is proven is looked at again; what does not hold any more is put in force again, or fails.
#include "services/responder/test_world.hpp"

namespace fleetward::responder {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class DriftTest : public ResponderTest {
 protected:
  void begin() {
    config_.look_again = Millis(20);
    start();
  }
  Action proven(HoldLevel level = HoldLevel::isolate) { return reached(act("cam", level).id, ActionState::in_effect); }
  bool drifts(const std::string& id) {
    return eventually([&] {
      const auto all = steps(id);
      return std::find(all.begin(), all.end(), "drifted") != all.end();
    });
  }
  // As if the responder had proven it.
  Action in_effect(const std::string& thing) {
    const Action a = act(thing);
    return in_store<Action>(
        [&](store::Transaction& tx) { return repository::mark_verified(tx, a.id, {}, config_.policy, now()); });
  }
};

TEST_F(DriftTest, IsMendedByWritingTheDesiredStateAgain) {
  begin();
  const Action before = proven();
  gateway().lets_in_below = before.access_version + 1;  // it has lost the record
  ASSERT_TRUE(drifts(before.id));
  const Action after = reached(before.id, ActionState::in_effect);
  EXPECT_EQ(after.access_version, before.access_version + 1);
  EXPECT_EQ(after.stopwatch.verified, before.stopwatch.verified) << "the stopwatch is of the response";
  EXPECT_TRUE(counted("drifted", 1));
  EXPECT_EQ(count("failed"), 0U);
}

TEST_F(DriftTest, ThatCannotBeMendedFails) {
  config_.verify_limit = short_limit;
  begin();
  const Action before = proven();
  gateway().lets_in = true;
  EXPECT_THAT(reached(before.id, ActionState::failed).wait_reason, HasSubstr("let through"));
  EXPECT_THAT(steps(before.id), Contains("drifted"));
}

TEST_F(DriftTest, AgainAndAgainFails) {
  Action a = in_effect("cam");
  for (int i = 0; i < 3; ++i) {
    a = in_store<Action>([&](store::Transaction& tx) { return repository::mark_drifted(tx, a.id, "why", {}, now()); });
    EXPECT_EQ(a.state, ActionState::executing);
    a = in_store<Action>(
        [&](store::Transaction& tx) { return repository::mark_verified(tx, a.id, {}, config_.policy, now()); });
  }
  a = in_store<Action>([&](store::Transaction& tx) { return repository::mark_drifted(tx, a.id, "why", {}, now()); });
  EXPECT_EQ(a.state, ActionState::failed);
  EXPECT_THAT(a.wait_reason, HasSubstr("does not stay in effect"));
}

TEST_F(DriftTest, AnOutageIsNone) {
  begin();
  const Action before = proven(HoldLevel::revoke);
  gateway().close();
  authority_->is_down = true;
  const auto looks = count("looked_again");
  ASSERT_TRUE(eventually([&] { return count("looked_again") >= looks + 3; }));
  EXPECT_EQ(action(before.id).state, ActionState::in_effect);
  EXPECT_EQ(count("drifted"), 0U);
}

TEST_F(DriftTest, OfTheCrlHasANewOneIssued) {
  begin();
  const Action before = proven(HoldLevel::revoke);
  const std::int64_t number = authority_->crl_number;
  authority_->crl_empty_to = number;
  ASSERT_TRUE(drifts(before.id));
  reached(before.id, ActionState::in_effect);
  EXPECT_GT(authority_->crl_number, number);
}

TEST_F(DriftTest, AnExpiredCertificateThatLeftTheCrlIsNone) {
  enrol("old", now() - std::chrono::hours(2));
  begin();
  const Action a = reached(act("old", HoldLevel::revoke).id, ActionState::in_effect);
  EXPECT_THAT(words(a), HasSubstr("nobody accepts it"));
  EXPECT_EQ(authority_->ocsp_asked, 0);
  const auto looks = count("looked_again");
  ASSERT_TRUE(eventually([&] { return count("looked_again") >= looks + 3; }));
  EXPECT_THAT(steps(a.id), Not(Contains("drifted")));
}

TEST_F(DriftTest, AllThatIsProvenIsLookedAtInTurn) {
  constexpr int many = 60;  // more than a batch
  for (int i = 0; i < many; ++i) {
    enrol(fmt::format("many-{}", i));
    in_effect(fmt::format("many-{}", i));
  }
  start();
  ASSERT_TRUE(eventually([&] { return count("looked_again") >= many; }));
  EXPECT_EQ(count("looked_again"), std::uint64_t{many}) << "each once a round";
}

class CertificateTest : public ResponderTest {
 protected:
  // One of the two certificates of a thing.
  Action revoke_one() {
    enrol("cam");
    return in_store<Action>([&](store::Transaction& tx) -> Result<Action> {
      const auto rows = repository::certificates_of(tx, "cam");
      if (!rows) return rows.error();
      EXPECT_THAT(*rows, SizeIs(2));
      return repository::revoke_certificate_by_hand(tx, rows->at(0), "a test", "ann", now());
    });
  }
};

TEST_F(CertificateTest, AloneIsRevokedAndProvenWithoutAHold) {
  gateway().beats_on_certificate = true;
  start();
  const Action done = reached(revoke_one().id, ActionState::in_effect);
  EXPECT_THAT(words(done), HasSubstr("has applied the certificate's record"));
  EXPECT_GE(authority_->ocsp_asked, 1);
  EXPECT_EQ(gateway().probes, 0);
  EXPECT_THAT(
      in_store<std::vector<fleet::Hold>>([](store::Transaction& tx) { return repository::holds_of(tx, "cam"); }),
      IsEmpty());
}

TEST_F(CertificateTest, ThatAGatewayHasNotReadIsNotProven) {
  config_.verify_limit = short_limit;
  start_and_settle();
  EXPECT_THAT(reached(revoke_one().id, ActionState::failed).wait_reason, HasSubstr("gw1: has not applied"));
}

}  // namespace
}  // namespace fleetward::responder
