// Which seeds a test runs, and what is said of one that fails.
#pragma once

#include <gtest/gtest.h>

#include "core/fault.hpp"
#include "log/log.hpp"
#include "simulation/universe.hpp"

namespace fleetward::simulation {

struct SeedRange {
  std::uint64_t from = 1;
  std::uint64_t to = 1;  // the last one
};

// FLEETWARD_SEEDS=FROM-TO, or one number, in place of what the test would run.
SeedRange seeds_or(SeedRange usual);

// Product logs go into the history of the universe while this lives.
class LogsInto {
 public:
  explicit LogsInto(Universe& universe);
  ~LogsInto();
};

// Runs a world a seed; stops at the first that fails and says how to run it again.
template <class World>
void run_seeds(SeedRange range) {
  for (std::uint64_t seed = range.from; seed <= range.to; ++seed) {
    World world(seed);
    const LogsInto logs(world.universe());
    const std::string& failure = world.run();
    ASSERT_TRUE(failure.empty()) << world.universe().history() << "\nseed " << seed << " failed: " << failure
                                 << "\nrun it again: ./dev simulate " << seed << " " << World::name;
  }
}

#ifdef FLEETWARD_FAULT_POINTS
// The first seed in the range at which the planted bug is found; 0: none. A release build has no places to plant one.
template <class World>
std::uint64_t seed_that_finds(std::string_view bug, SeedRange range, std::string* how) {
  fault::arm(bug);
  std::uint64_t found = 0;
  for (std::uint64_t seed = range.from; seed <= range.to && found == 0; ++seed) {
    World world(seed);
    const LogsInto logs(world.universe());
    if (world.run().empty()) continue;
    found = seed;
    *how = world.universe().failure();
  }
  fault::disarm(bug);
  fmt::print("{} is found at seed {}: {}\n", bug, found, *how);
  return found;
}
#endif

}  // namespace fleetward::simulation
