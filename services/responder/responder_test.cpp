#include "services/responder/test_world.hpp"

namespace fleetward::responder {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST_F(ResponderTest, AViolationThatComesTwiceIsOneActionAndIsProven) {
  start();
  violate("cam", 2);
  ASSERT_TRUE(eventually([&] { return actions("cam").size() == 1; }));
  const Action done = reached(actions("cam")[0].id, ActionState::in_effect);
  EXPECT_THAT(actions("cam"), SizeIs(1));
  EXPECT_THAT(done.violations, SizeIs(1));
  EXPECT_THAT(steps(done.id), Contains("executing"));
  EXPECT_TRUE(counted("verified", 1));
  EXPECT_GE(gateway().probes, 1);
  EXPECT_LE(done.stopwatch.received, done.stopwatch.decided);
  EXPECT_LE(done.stopwatch.decided, done.stopwatch.enforced);
  EXPECT_LE(done.stopwatch.enforced, done.stopwatch.verified);
}

TEST_F(ResponderTest, AThingThatIsLetInFailsInWords) {
  config_.verify_limit = short_limit;
  gateway().lets_in = true;
  start_and_settle();
  const Action failed = reached(act("cam").id, ActionState::failed);
  EXPECT_THAT(failed.wait_reason, HasSubstr("gw1: the probe was let through"));
  EXPECT_TRUE(counted("failed", 1));
}

// As when the clock is set back between two tries: the gateway refuses the certificate for its time, which proves
// nothing.
TEST_F(ResponderTest, AProbeOfAnotherTimeIsMadeAnew) {
  config_.verify_limit = short_limit;
  start_and_settle();
  authority_->probes_ahead = 1;
  reached(act("cam").id, ActionState::in_effect);
  EXPECT_EQ(authority_->probes_ahead, 0);
}

TEST_F(ResponderTest, EveryGatewayMustRefuse) {
  config_.verify_limit = short_limit;
  add_gateway("gw2").has_session = true;
  start_and_settle();
  const Action failed = reached(act("cam").id, ActionState::failed);
  EXPECT_THAT(failed.wait_reason, HasSubstr("gw2: a session of the thing is still open"));
}

TEST_F(ResponderTest, WithoutAGatewayThereIsNoProof) {
  config_.verify_limit = short_limit;
  gateway().is_deaf = true;
  gateway().beat(Millis(0), false, true);  // said goodbye
  start();
  EXPECT_THAT(reached(act("cam").id, ActionState::failed).wait_reason, HasSubstr("no gateway"));
}

TEST_F(ResponderTest, ARevocationIsProvenByWhatIsServed) {
  start();
  const Action done = reached(act("cam", HoldLevel::revoke).id, ActionState::in_effect);
  EXPECT_THAT(words(done), HasSubstr("holds the certificate"));
  EXPECT_THAT(words(done), HasSubstr("OCSP answers revoked"));
}

// Each way in which the served proof can be wrong, and the words for it.
struct Lie {
  const char* name;
  std::atomic<bool> TestAuthority::*how;
  const char* words;
};
class LieTest : public ResponderTest, public ::testing::WithParamInterface<Lie> {};

TEST_P(LieTest, IsNoProof) {
  config_.verify_limit = short_limit;
  (*authority_).*GetParam().how = true;
  start_and_settle();
  const Action failed = reached(act("cam", HoldLevel::revoke).id, ActionState::failed);
  EXPECT_THAT(failed.wait_reason, HasSubstr(GetParam().words));
}

INSTANTIATE_TEST_SUITE_P(
    Served, LieTest,
    ::testing::Values(Lie{"CrlWithoutTheSerial", &TestAuthority::crl_is_empty, "that is served does not hold serial"},
                      Lie{"ExpiredCrl", &TestAuthority::crl_is_expired, "CRL: the one that is served has expired"},
                      Lie{"CrlOfAnotherKey", &TestAuthority::crl_is_of_other, "CRL: the CRL is not signed"},
                      Lie{"OcspSaysGood", &TestAuthority::ocsp_says_good, "OCSP does not answer revoked"},
                      Lie{"NothingIsServed", &TestAuthority::is_down, "HTTP status 503"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_F(ResponderTest, ALeaseEnds) {
  start();
  const Action done = reached(act("cam", HoldLevel::isolate, Millis(1)).id, ActionState::released);
  EXPECT_THAT(
      in_store<std::vector<fleet::Hold>>([&](store::Transaction& tx) { return repository::holds_of(tx, "cam"); }),
      SizeIs(0));
  EXPECT_THAT(steps(done.id), Contains("released"));
}

TEST_F(ResponderTest, ARestartGoesOnWithWhatWasOpen) {
  gateway().is_mute = true;  // it stays executing
  start();
  const std::string first = act("cam").id;
  stop();
  EXPECT_EQ(action(first).state, ActionState::executing);
  gateway().is_mute = false;
  enrol("cam2");
  const std::string second = act("cam2").id;
  // What it said while nobody listened is read afterwards.
  in_store<bool>([&](store::Transaction& tx) -> Result<bool> {
    const Status noted = repository::note_enforced(tx, "cam", 100, {now(), "gateway", "gw1", true, "in force"}, now());
    return noted.ok() ? Result<bool>(true) : Result<bool>(noted.error());
  });
  EXPECT_EQ(action(first).state, ActionState::verifying);
  start();
  reached(first, ActionState::in_effect);
  reached(second, ActionState::in_effect);
}

}  // namespace
}  // namespace fleetward::responder
