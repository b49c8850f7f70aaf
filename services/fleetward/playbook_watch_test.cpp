// A playbook that is edited while the server runs.
#include "services/fleetward/playbook_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace fleetward::program {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PlaybookWatchTest : public testing::Test {
 protected:
  PlaybookWatchTest() : path_(testing::TempDir() + "playbook_watch_" + std::to_string(::getpid())) {}
  ~PlaybookWatchTest() override { std::filesystem::remove(path_); }
  // As editors and configuration tools do it: a new file in the old one's place.
  void write(std::string_view text) {
    std::ofstream(path_ + ".new") << text;
    std::filesystem::rename(path_ + ".new", path_);
  }
  PlaybookWatch watch() {
    return {path_,
            [this](const respond::Playbook& p) { applied_.push_back(p.entries.empty() ? "none" : p.entries[0].name); }};
  }
  std::string path_;
  std::vector<std::string> applied_;
};

TEST_F(PlaybookWatchTest, AChangeIsTakenOnceAndTold) {
  write("entries: [{name: a, level: isolate, mode: act}]\n");
  PlaybookWatch playbook = watch();
  playbook.look();
  EXPECT_THAT(applied_, IsEmpty()) << "it is what was read at the start";
  write("entries: [{name: b, level: isolate, mode: ask}, {name: a, level: restrict, mode: act}]\n");
  playbook.look();
  EXPECT_THAT(applied_, IsEmpty()) << "it may still be being written";
  for (int i = 0; i < 3; ++i) playbook.look();
  EXPECT_THAT(applied_, ElementsAre("b"));
  EXPECT_EQ(playbook.told(), "added: \"b\"; changed: \"a\"");
}

TEST_F(PlaybookWatchTest, WhatIsStillBeingWrittenIsLeftAlone) {
  write("entries: [{name: a, level: isolate, mode: act}]\n");
  PlaybookWatch playbook = watch();
  std::string text = "entries: [{name: b, level: isolate, mode: act}]\n";
  for (const char* more : {"protected:\n", "  things: [gw-1]\n", "  groups: [wards]\n"}) {
    write(text += more);
    playbook.look();
  }
  EXPECT_THAT(applied_, IsEmpty());
  playbook.look();
  EXPECT_THAT(applied_, ElementsAre("b"));
  EXPECT_EQ(playbook.told(), "added: \"b\"; removed: \"a\"; protected changed");
}

TEST_F(PlaybookWatchTest, ABadOneLeavesTheOldInForceUntilItIsGood) {
  write("entries: [{name: a, level: isolate, mode: act}]\n");
  PlaybookWatch playbook = watch();
  std::string told;
  for (const char* bad : {"entries: [{name: a, levle: isolate}]\n", "entries: [\n"}) {
    write(bad);
    playbook.look();
    playbook.look();
    EXPECT_TRUE(playbook.is_stale());
    told += playbook.told();
  }
  EXPECT_THAT(told, HasSubstr("levle"));
  std::filesystem::remove(path_);
  playbook.look();
  EXPECT_THAT(applied_, IsEmpty());
  write("entries: [{name: c, level: isolate, mode: act}]\n");
  playbook.look();
  playbook.look();
  EXPECT_FALSE(playbook.is_stale());
  EXPECT_THAT(applied_, ElementsAre("c"));
}

TEST_F(PlaybookWatchTest, AskedForItSaysSoEvenWhenNothingChanged) {
  write("entries: [{name: a, level: isolate, mode: act}]\n");
  PlaybookWatch playbook = watch();
  playbook.reload();
  EXPECT_THAT(applied_, IsEmpty());
  EXPECT_EQ(playbook.told(), "none");
  PlaybookWatch none("", [](const respond::Playbook&) { FAIL(); });
  none.look();
  none.reload();
}

TEST(PlaybookChanges, OrderAndProtectionAreChangesToo) {
  const json::Value a = {{"name", "a"}};
  const json::Value b = {{"name", "b"}};
  const json::Value before = {{"entries", {a, b}}};
  EXPECT_EQ(playbook_changes(before, before), "");
  EXPECT_EQ(playbook_changes(before, {{"entries", {b, a}}}), "order changed");
  EXPECT_EQ(playbook_changes(before, {{"entries", {a, b}}, {"protected", {{"things", {"x"}}}}}), "protected changed");
  EXPECT_EQ(playbook_changes(before, json::Value()), "removed: \"a\", \"b\"");
}

}  // namespace
}  // namespace fleetward::program
