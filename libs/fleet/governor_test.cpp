#include "fleet/governor.hpp"

#include <gtest/gtest.h>

namespace fleetward::fleet {
namespace {

GovernorEvent event() {
  const GovernorCondition brake{GovernorKind::brake, "cams/ports", "responder", "10 things", instant_from_ms(5)};
  return {"governor.7", 7, GovernorStep::ended, "anna", "it was an update", instant_from_ms(9), brake};
}

TEST(Governor, RoundTrips) { EXPECT_EQ(*governor_event_from_json(to_json(event())), event()); }

TEST(Governor, RefusesWhatItDoesNotKnow) {
  json::Value value = to_json(event());
  value["step"] = "half";
  EXPECT_FALSE(governor_event_from_json(value).ok());
  value = to_json(event());
  value["condition"]["kind"] = "mood";
  EXPECT_FALSE(governor_event_from_json(value).ok());
}

}  // namespace
}  // namespace fleetward::fleet
