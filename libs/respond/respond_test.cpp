#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "respond/governor.hpp"
#include "respond/playbook.hpp"

namespace fleetward::respond {
namespace {

using ::testing::HasSubstr;

TEST(Caps, AreTheDesigns) {
  EXPECT_EQ(caps_for(0).day, 1);
  EXPECT_EQ(caps_for(3).day, 1);
  EXPECT_EQ(caps_for(8).day, 2);
  EXPECT_EQ(caps_for(60).day, 5);
  EXPECT_EQ(caps_for(60).hour, 5);
  EXPECT_EQ(caps_for(1000).day, 20);
  EXPECT_EQ(caps_for(1000).hour, 5);
  EXPECT_EQ(caps_for(10'000).day, 200);
  EXPECT_EQ(caps_for(10'000).hour, 50);
}

Question quiet() {
  Question q;
  q.groups = {{"g", 100, 0, 0}};
  q.behavior_things = 1;
  return q;
}

TEST(Governor, ActsWhenAllAllow) { EXPECT_EQ(ask_governor(quiet()).verdict, Verdict::act); }

TEST(Governor, EveryGroupMustAllow) {
  Question q = quiet();
  q.groups.push_back({"small", 2, 1, 1});
  const Answer a = ask_governor(q);
  EXPECT_EQ(a.verdict, Verdict::ask);
  EXPECT_TRUE(a.exhausts_cap);
  EXPECT_THAT(a.why, HasSubstr("small"));
}

TEST(Governor, BrakeCanaryProtectionAndStop) {
  Question q = quiet();
  q.behavior_things = 10;
  EXPECT_TRUE(ask_governor(q).trips_brake);
  q.brake_on = true;
  EXPECT_EQ(ask_governor(q).verdict, Verdict::ask);
  EXPECT_FALSE(ask_governor(q).trips_brake) << "once";
  q = quiet();
  q.canary = Canary::waiting;
  EXPECT_EQ(ask_governor(q).verdict, Verdict::wait);
  q.canary = Canary::failed;
  EXPECT_EQ(ask_governor(q).verdict, Verdict::ask);
  q = quiet();
  q.protected_thing = true;
  EXPECT_EQ(ask_governor(q).verdict, Verdict::ask);
  q = quiet();
  q.stop_switch = true;
  EXPECT_EQ(ask_governor(q).verdict, Verdict::ask);
}

TEST(Playbook, FirstMatchCounts) {
  const auto book = playbook_from_json(*json::parse(R"({"entries":[
      {"name":"a","match":{"behavior":"known-*","group":"cam*"},"level":"isolate","mode":"act","then":"revoke","lease_minutes":5},
      {"name":"b"}],"protected":{"things":["gw-*"],"groups":["life"]}})"));
  ASSERT_TRUE(book.ok()) << book.error().message;
  fleet::ViolationEvent v;
  v.behavior.name = "known-ports";
  v.groups = {"cameras"};
  EXPECT_EQ(find_entry(*book, v)->name, "a");
  EXPECT_EQ(find_entry(*book, v)->lease, Millis(300'000));
  v.groups = {"meters"};
  EXPECT_EQ(find_entry(*book, v)->name, "b");
  EXPECT_TRUE(is_protected(*book, "gw-1", {}));
  EXPECT_TRUE(is_protected(*book, "x", {"life"}));
  EXPECT_FALSE(is_protected(*book, "x", {"cameras"}));
}

TEST(Playbook, TellsAllProblems) {
  const auto book = playbook_from_json(
      *json::parse(R"({"entries":[{"name":"a","level":"kill","mode":"maybe","leese":1},{"name":"a"}]})"));
  ASSERT_FALSE(book.ok());
  EXPECT_THAT(book.error().message, HasSubstr("level"));
  EXPECT_THAT(book.error().message, HasSubstr("mode"));
  EXPECT_THAT(book.error().message, HasSubstr("leese is not known"));
  EXPECT_THAT(book.error().message, HasSubstr("is there twice"));
}

TEST(Glob, Matches) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("a*c*e", "abcde"));
  EXPECT_FALSE(glob_matches("a*c", "abcd"));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_FALSE(glob_matches("*a*a*a*a*b", std::string(5000, 'a')));
}

}  // namespace
}  // namespace fleetward::respond
