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
  a.violations = {"v1", "v2", "v3"};
  a.cleared = {"v1"};
  a.invalidated = {"v2"};
  a.certificates = {std::string(64, 'a')};
  a.stopwatch.received = instant_from_ms(5);
  a.evidence = {{instant_from_ms(7), "probe", "gateway-1", true, "refused with 0x8A"}};
  const ActionEvent e{"a1.3", 3, "verified", "responder", "all gateways", instant_from_ms(9), a};
  EXPECT_EQ(*action_event_from_json(to_json(e)), e);
}

TEST(Action, OneWrittenBeforeItHadAllMembersIsRead) {
  Action a;
  a.id = "a1";
  a.thing = "dev1";
  json::Value value = to_json(a);
  for (const char* later : {"cleared", "invalidated", "certificates"}) ASSERT_EQ(value.erase(later), 1U);
  EXPECT_EQ(*action_from_json(value), a);
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
