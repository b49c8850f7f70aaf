#include "core/patient_clock.hpp"

#include <gtest/gtest.h>

namespace fleetward {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr Instant noon = Instant(hours(12));

TEST(PatientClock, IsTheWallClockWhileThatRunsAsItShould) {
  PatientClock clock(noon, hours(3));
  EXPECT_EQ(clock.at(noon, hours(3)), noon);
  EXPECT_EQ(clock.at(noon + minutes(1), hours(3) + minutes(1)), noon + minutes(1));
  EXPECT_EQ(clock.at(noon + minutes(2) + Millis(50), hours(3) + minutes(2)), noon + minutes(2) + Millis(50));
}

TEST(PatientClock, DoesNotJumpForward) {
  PatientClock clock(noon, hours(0));
  EXPECT_EQ(clock.at(noon + hours(240), hours(0)), noon);
  EXPECT_EQ(clock.at(noon + hours(241), hours(1)), noon + hours(1) + minutes(6));
  EXPECT_EQ(clock.at(noon + hours(2), hours(2)), noon + hours(2)) << "set right again";
  EXPECT_EQ(clock.at(noon + hours(50), hours(2)), noon + hours(2));
}

TEST(PatientClock, CatchesUpWithOneThatWasBehind) {
  PatientClock clock(noon, hours(0));
  EXPECT_EQ(clock.at(noon + hours(11), hours(10)), noon + hours(11)) << "an hour in ten";
}

TEST(PatientClock, GoesBackWithTheWallClock) {
  PatientClock clock(noon, hours(0));
  EXPECT_EQ(clock.behind(noon), Millis(0));
  EXPECT_EQ(clock.at(noon - hours(5), hours(1)), noon - hours(5));
  EXPECT_EQ(clock.behind(noon - hours(5)), hours(6) - minutes(6));
  EXPECT_EQ(clock.at(noon + hours(2), hours(2)), noon + hours(2)) << "and comes back with it";
}

TEST(HasPassed, IsTrueAsWellWhenTheClockWasSetBack) {
  EXPECT_FALSE(has_passed(noon, noon + minutes(4), minutes(5)));
  EXPECT_TRUE(has_passed(noon, noon + minutes(5), minutes(5)));
  EXPECT_TRUE(has_passed(noon, noon - Millis(1), minutes(5)));
}

}  // namespace
}  // namespace fleetward
