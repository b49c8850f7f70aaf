#include "simulation/seeds.hpp"
#include "simulation/system_world.hpp"

// What was under way to the bus at a crash can hold itself: a gateway's reports in its appender, a unit of work in the
// bus's queue. A process that dies leaks nothing; the looking for leaks is left to the world of detectors.
extern "C" int __lsan_is_turned_off();               // NOLINT: the sanitizer names it so
extern "C" int __lsan_is_turned_off() { return 1; }  // NOLINT

namespace fleetward::simulation {
namespace {

// Some of them: each is a second or more. More with ./dev simulate.
TEST(System, HoldsThroughCrashesStallsAndLostMessages) { run_seeds<SystemWorld>(seeds_or({1, 40})); }

TEST(System, DoesWhatItIsForMeanwhile) {
  SystemWorld world(4);
  const LogsInto logs(world.universe());
  EXPECT_EQ(world.run(), "");
  EXPECT_GT(world.crashes(), 3);
  EXPECT_GT(world.detection().due(), 3U);
  EXPECT_GT(world.detection().ended(detect::Outcome::counting_applied), 0U);
  EXPECT_GT(world.access().acknowledged(), 100U);
  EXPECT_GT(world.access().admissions(), 10U);
  EXPECT_GT(world.actions().acted(), 0U);
  EXPECT_GT(world.verified(), 0U);
  EXPECT_GT(world.forged(), 3);
  EXPECT_GT(world.groups().moves(), 10U);
  EXPECT_GT(world.relays().holders(), 1U);
  EXPECT_GT(world.relays().repeated(), 0U);
  EXPECT_GT(world.proofs().proofs(), 0U);
  EXPECT_FALSE(world.pager().pages().empty());
}

TEST(System, ASeedIsTheSameRunAgain) {
  std::vector<std::uint64_t> fingerprints;
  for (int i = 0; i < 2; ++i) {
    SystemWorld world(11);
    const LogsInto logs(world.universe());
    world.run();
    fingerprints.push_back(world.universe().fingerprint());
  }
  EXPECT_EQ(fingerprints[0], fingerprints[1]);
}

#ifdef FLEETWARD_FAULT_POINTS
// Ranges begin near where the bug was found when this was written, so that it does not take long.
TEST(System, FindsAnAcknowledgementBeforeTheReportIsDurable) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<SystemWorld>("gateway.acknowledge_early", {1, 10}, &how);
  EXPECT_NE(seed, 0U);
  EXPECT_NE(how.find("was acknowledged and is not on the log"), std::string::npos) << how;
}

TEST(System, FindsACapThatIsCountedOutsideTheDecision) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<SystemWorld>("simulation.cap_outside", {1, 60}, &how);
  EXPECT_NE(seed, 0U);
  EXPECT_NE(how.find("the cap is"), std::string::npos) << how;
}

TEST(System, FindsAUnitOfWorkOfOneThatLostThePartition) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<SystemWorld>("bus.skip_fencing", {14, 40}, &how);
  EXPECT_NE(seed, 0U);
  EXPECT_NE(how.find("of one that had lost it"), std::string::npos) << how;
}

TEST(System, FindsARelayThatDoesNotLookAtItsLease) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<SystemWorld>("relay.skip_lease", {1, 20}, &how);
  EXPECT_NE(seed, 0U);
  EXPECT_NE(how.find("has had the lease for"), std::string::npos) << how;
}

TEST(System, FindsASessionThatIsNotCut) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<SystemWorld>("gateway.skip_cut", {3, 23}, &how);
  EXPECT_NE(seed, 0U) << how;
}

TEST(System, FindsAGatewayThatGoesByWhatNobodyHasSigned) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<SystemWorld>("gateway.skip_signatures", {1, 20}, &how);
  EXPECT_NE(seed, 0U) << how;
}
#endif

}  // namespace
}  // namespace fleetward::simulation
