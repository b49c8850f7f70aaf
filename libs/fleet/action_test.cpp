#include "fleet/action.hpp"

#include <gtest/gtest.h>

namespace fleetward::fleet {
namespace {

TEST(Action, RoundTripsWithItsEvent) {
  Action a;
  a.id = "a1";
  a.thing = "dev1";
  a.level = HoldLevel::revoke;
  a.state = ActionState::awaiting_approval;
  a.violations = {"v1", "v2"};
  a.stopwatch.received = instant_from_ms(5);
  a.evidence = {{instant_from_ms(7), "probe", "gateway-1", true, "refused with 0x8A"}};
  const ActionEvent e{"a1.3", 3, "verified", "responder", "all gateways", instant_from_ms(9), a};
  EXPECT_EQ(*action_event_from_json(to_json(e)), e);
}

TEST(Action, RefusesAnUnknownState) {
  Action a;
  a.id = "a1";
  a.thing = "dev1";
  json::Value value = to_json(a);
  value["state"] = "half";
  EXPECT_FALSE(action_from_json(value).ok());
}

}  // namespace
}  // namespace fleetward::fleet
