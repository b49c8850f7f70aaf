#include "simulation/detection_world.hpp"
#include "simulation/seeds.hpp"

namespace fleetward::simulation {
namespace {

TEST(Detection, HoldsThroughCrashesStallsAndALossyBus) { run_seeds<DetectionWorld>(seeds_or({1, 240})); }

TEST(Detection, ASeedIsTheSameRunAgain) {
  std::vector<std::uint64_t> fingerprints;
  for (int i = 0; i < 2; ++i) {
    DetectionWorld world(4711);
    const LogsInto logs(world.universe());
    world.run();
    fingerprints.push_back(world.universe().fingerprint());
    EXPECT_GT(world.oracle().due(), 5U);
    EXPECT_GT(world.oracle().checkpoints(), 5U);
    EXPECT_GT(world.crashes(), 1);
    EXPECT_GT(world.oracle().samples(), 0U);
    EXPECT_GT(world.oracle().ended(detect::Outcome::cohorts_applied), 0U);
  }
  EXPECT_EQ(fingerprints[0], fingerprints[1]);
}

#ifdef FLEETWARD_FAULT_POINTS
TEST(Detection, FindsACheckpointBeforeItsViolations) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<DetectionWorld>("detector.checkpoint_early", {1, 20}, &how);
  EXPECT_NE(seed, 0U);
  EXPECT_NE(how.find("not durable"), std::string::npos) << how;
}

TEST(Detection, FindsAStaleOwnerThatIsNotFenced) {
  std::string how;
  const std::uint64_t seed = seed_that_finds<DetectionWorld>("bus.skip_fencing", {1, 40}, &how);
  EXPECT_NE(seed, 0U);
  EXPECT_NE(how.find("partition"), std::string::npos) << how;
}
#endif

}  // namespace
}  // namespace fleetward::simulation
