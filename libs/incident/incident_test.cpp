#include "incident/incident.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fleetward::incident {
namespace {

using fleet::ActionState;
using fleet::HoldLevel;
using ::testing::HasSubstr;

fleet::Action action(std::string id, std::string thing, ActionState state, HoldLevel level = HoldLevel::isolate) {
  fleet::Action a;
  a.id = std::move(id);
  a.thing = std::move(thing);
  a.state = state;
  a.level = level;
  a.entry = "isolate-infected";
  a.mode = "enforce";
  a.reason = "ports: expected 22, seen 48101";
  return a;
}

TEST(Incident, OpensGathersAndCloses) {
  fleet::Incident i{"i", "isolate-infected", {}, true, "critical", 0, {}, {}, {}};
  EXPECT_TRUE(fold(i, action("a1", "cam1", ActionState::executing), instant_from_ms(1)));
  EXPECT_FALSE(fold(i, action("a1", "cam1", ActionState::executing), instant_from_ms(1))) << "a repeat changes nothing";
  EXPECT_TRUE(fold(i, action("a2", "cam2", ActionState::awaiting_approval), instant_from_ms(2)));
  EXPECT_EQ(i.revision, 2);
  fold(i, action("a1", "cam1", ActionState::released), instant_from_ms(3));
  EXPECT_TRUE(i.open);
  fold(i, action("a2", "cam2", ActionState::refused), instant_from_ms(4));
  EXPECT_FALSE(i.open);
  EXPECT_EQ(i.closed, instant_from_ms(4));
}

TEST(Incident, AProvenRevocationEndsTheThingsPart) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  fold(i, action("a1", "cam1", ActionState::in_effect), instant_from_ms(1));
  EXPECT_TRUE(i.open) << "isolated is not over";
  fold(i, action("a2", "cam1", ActionState::in_effect, HoldLevel::revoke), instant_from_ms(2));
  EXPECT_FALSE(i.open);
}

TEST(Incident, FailedStaysOpen) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  fold(i, action("a1", "cam1", ActionState::failed), instant_from_ms(1));
  EXPECT_TRUE(i.open);
  EXPECT_THAT(page_text(i).summary, HasSubstr("FAILED"));
}

TEST(Incident, PageSaysReasonRadiusAndCommands) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  for (int n = 0; n < 8; ++n)
    fold(i,
         action(fmt::format("a{}", n), fmt::format("cam{}", n),
                n < 2 ? ActionState::in_effect : ActionState::awaiting_approval),
         {});
  const PageText text = page_text(i);
  EXPECT_THAT(text.summary, HasSubstr("8 devices"));
  EXPECT_THAT(text.description, HasSubstr("expected 22, seen 48101"));
  EXPECT_THAT(text.description, HasSubstr("and 3 more"));
  EXPECT_THAT(text.commands, HasSubstr("fleetward actions release a0"));
  EXPECT_THAT(text.commands, HasSubstr("fleetward actions approve a2"));
}

TEST(Incident, PageSaysOnceWhatHoldsTheGovernorBack) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  const std::string brake =
      "brake: 10 things or more fell to p/b; it is on until: fleetward governor release-brake p/b";
  for (int n = 0; n < 20; ++n) {
    fleet::Action a = action(fmt::format("a{}", n), fmt::format("cam{}", n), ActionState::awaiting_approval);
    a.wait_reason = n < 8 ? "revocation is a person's decision" : n < 12 ? "cap: 5 things of group cams" : brake;
    fold(i, a, {});
  }
  const PageText text = page_text(i);
  EXPECT_THAT(text.description,
              HasSubstr("\n8 wait for a person: " + brake + "\n4 wait for a person: cap: 5 things of"));
  for (int n = 12; n < 20; ++n)
    fold(i, action(fmt::format("a{}", n), fmt::format("cam{}", n), ActionState::executing), {});
  EXPECT_THAT(page_text(i).description, ::testing::Not(HasSubstr("brake"))) << "all of them were approved";
}

TEST(Incident, AReleasedThingIsNotKeptByTheRevocationThatNobodyApproved) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  fold(i, action("a1", "cam1", ActionState::in_effect), instant_from_ms(1));
  fold(i, action("a2", "cam1", ActionState::awaiting_approval, HoldLevel::revoke), instant_from_ms(2));
  EXPECT_TRUE(i.open);
  fold(i, action("a1", "cam1", ActionState::released), instant_from_ms(3));
  EXPECT_FALSE(i.open);
  EXPECT_EQ(i.closed, instant_from_ms(3));
  fold(i, action("a2", "cam1", ActionState::refused, HoldLevel::revoke), instant_from_ms(9));
  EXPECT_EQ(i.closed, instant_from_ms(3)) << "what is closed keeps its time";
  fold(i, action("a2", "cam1", ActionState::failed, HoldLevel::revoke), instant_from_ms(10));
  EXPECT_TRUE(i.open) << "somebody has to know";
}

TEST(Incident, AnotherThingsAlarmIsNotOverByThisOnesRelease) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  fold(i, action("a1", "cam1", ActionState::released), instant_from_ms(1));
  fold(i, action("a2", "cam1", ActionState::awaiting_approval), instant_from_ms(2));
  EXPECT_TRUE(i.open) << "the same thing, caught anew";
  fold(i, action("a3", "cam2", ActionState::awaiting_approval, HoldLevel::revoke), instant_from_ms(3));
  fold(i, action("a2", "cam1", ActionState::released), instant_from_ms(4));
  EXPECT_TRUE(i.open);
}

TEST(Incident, ItsIdFollowsFromWhatOpenedIt) {
  fleet::ActionEvent event;
  event.id = "a1.1";
  event.time = instant_from_ms(5);
  event.action = action("a1", "cam1", ActionState::executing);
  const fleet::Incident first = open_incident(event);
  EXPECT_EQ(open_incident(event).id, first.id);
  EXPECT_EQ(first.window_start, instant_from_ms(5));
  event.id = "a2.1";
  EXPECT_NE(open_incident(event).id, first.id) << "of the same entry and millisecond";
}

TEST(Incident, TextFromDevicesIsHarmlessAndBounded) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  fleet::Action a = action("a1", "cam1", ActionState::failed);
  a.reason = "seen \x1b[2J" + std::string(100'000, 'x');
  fold(i, a, {});
  EXPECT_EQ(i.members[0].reason.size(), reason_bytes_max);
  const PageText text = page_text(i);
  EXPECT_EQ(text.description.find('\x1b'), std::string::npos);
  EXPECT_LT(text.description.size(), 4096U);
  EXPECT_THAT(text.commands, HasSubstr("fleetward actions release a1"));
}

TEST(Incident, WorstComesFirst) {
  fleet::Incident i{"i", "e", {}, true, "critical", 0, {}, {}, {}};
  for (int n = 0; n < 20; ++n)
    fold(i, action(fmt::format("a{}", n), fmt::format("cam{}", n), ActionState::in_effect), {});
  fold(i, action("bad", "cam-bad", ActionState::failed), {});
  EXPECT_THAT(page_text(i).description, HasSubstr("cam-bad: FAILED"));
}

TEST(Incident, WhatIsOnlyObservedWakesNobody) {
  fleet::Action a = action("a", "t", ActionState::proposed);
  EXPECT_TRUE(concerns_people(a));
  a.mode = "observe";
  EXPECT_FALSE(concerns_people(a));
}

TEST(Incident, ARevocationOfOneCertificateDoesNotEndTheThingsPart) {
  fleet::Incident i{"i", "by-hand", {}, true, "critical", 0, {}, {}, {}};
  fold(i, action("a1", "cam1", ActionState::in_effect), instant_from_ms(1));
  fleet::Action one = action("a2", "cam1", ActionState::in_effect, HoldLevel::revoke);
  one.certificates = {"aa"};
  fold(i, one, instant_from_ms(2));
  EXPECT_TRUE(i.open) << "the thing is isolated still";
  EXPECT_THAT(page_text(i).description, HasSubstr("one certificate"));
  fold(i, action("a1", "cam1", ActionState::released), instant_from_ms(3));
  EXPECT_FALSE(i.open);
}

fleet::GovernorEvent raised(fleet::GovernorKind kind, std::string subject) {
  const fleet::GovernorCondition c{kind, std::move(subject), "anna", "a storm\x1b[2J",
                                   instant_from_ms(1'795'000'000'000)};
  return {"governor.1", 1, fleet::GovernorStep::raised, "anna", c.why, c.since, c};
}

TEST(Incident, AStopSaysWhoSinceWhenAndHowToResume) {
  fleet::Incident i = open_incident(raised(fleet::GovernorKind::stop_switch, ""));
  PageText text = page_text(i);
  EXPECT_EQ(text.summary, "enforcement is stopped by anna since 2026-11-18T11:06:40.000Z");
  EXPECT_THAT(text.description, HasSubstr("resume with:\nfleetward governor resume"));
  EXPECT_THAT(text.description, ::testing::Not(HasSubstr("\x1b")));
  EXPECT_EQ(i.severity, "critical");
  EXPECT_TRUE(close(i, instant_from_ms(5)));
  EXPECT_FALSE(close(i, instant_from_ms(6)));
  EXPECT_EQ(i.closed, instant_from_ms(5));
  EXPECT_EQ(page_text(i).commands, "");
}

TEST(Incident, EachConditionOfTheGovernorIsOneIncident) {
  const auto file = raised(fleet::GovernorKind::stop_file, "responder-1:/data/STOP");
  EXPECT_THAT(page_text(open_incident(file)).commands, HasSubstr("rm /data/STOP  # where responder-1 runs"));
  const auto brake = raised(fleet::GovernorKind::brake, "cams/ports");
  EXPECT_THAT(page_text(open_incident(brake)).commands, HasSubstr("release-brake cams/ports"));
  const auto cap = raised(fleet::GovernorKind::cap, "cams");
  EXPECT_THAT(page_text(open_incident(cap)).summary, HasSubstr("the cap of group cams"));
  EXPECT_NE(open_incident(cap).id, open_incident(brake).id);
  EXPECT_EQ(open_incident(cap).id, incident_of(cap.condition));
  const auto forged = page_text(open_incident(raised(fleet::GovernorKind::forged_record, "fleetward.access")));
  EXPECT_THAT(forged.summary, HasSubstr("forges records on fleetward.access"));
  EXPECT_THAT(forged.description, HasSubstr("who can write to the topic"));
  EXPECT_THAT(forged.description, ::testing::Not(HasSubstr("has to approve"))) << "it holds nothing back";
  EXPECT_FALSE(concerns_people(raised(fleet::GovernorKind::canary, "e/p/b"))) << "its failed action is one";
}

}  // namespace
}  // namespace fleetward::incident
