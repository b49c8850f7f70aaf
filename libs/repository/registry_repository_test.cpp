// Things, groups, profiles and manifests: what is kept, and what is said on the topics about each change.
#include "repository/registry_repository.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/topics.hpp"
#include "repository/manifest.hpp"
#include "repository/profile_repository.hpp"
#include "repository/store_fixture.hpp"

namespace fleetward::repository {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Tx = store::Transaction;

class RegistryTest : public StoreFixture<> {
 protected:
  Result<ThingRow> make_thing(const std::string& name, const std::string& id, const Attributes& attributes = {}) {
    return in_store<ThingRow>([&](Tx& tx) { return create_thing(tx, name, id, "cam", attributes, now_); });
  }
  Result<GroupRow> make_group(const std::string& name, const std::string& parent = "") {
    return in_store<GroupRow>([&](Tx& tx) { return create_group(tx, name, "g-" + name, parent, "", now_); });
  }
  Status put_in(const std::string& group, const std::string& thing) {
    return change([&](Tx& tx) { return add_to_group(tx, group, thing, now_); });
  }

  struct Said {
    std::string key;
    std::int64_t version;
    std::string headers;
    json::Value data;
  };
  // What waits for the relay, in order.
  std::vector<Said> said(std::string_view topic) {
    const auto rows = in_store<std::vector<Said>>([&](Tx& tx) -> Result<std::vector<Said>> {
      const auto found =
          tx.query("SELECT key, version, headers, value FROM outbox WHERE topic=$1 ORDER BY id", {std::string(topic)});
      if (!found) return found.error();
      std::vector<Said> out;
      for (const auto& r : *found)
        out.push_back({r.text(0), r.integer(1), r.text(2), fleet::parse_cloud_event(r.text(3))->data});
      return out;
    });
    EXPECT_TRUE(rows.ok());
    return *rows;
  }
  fleet::RegistryFact last_fact() {
    const auto all = said(fleet::topic::devices);
    EXPECT_FALSE(all.empty());
    return *fleet::registry_fact_from_json(all.back().data);
  }
  fleet::Manifest last_manifest() {
    fleet::Manifest last;
    for (const Said& s : said(fleet::topic::rules)) {
      if (s.key.starts_with("manifest/")) last = *fleet::manifest_from_json(s.data);
    }
    return last;
  }

  ThingRow thing(const std::string& name) {
    return *in_store<ThingRow>([&](Tx& tx) { return get_thing(tx, name); });
  }

  const Instant now_ = instant_from_ms(1'795'000'000'000);
};

fleet::SecurityProfile profile(const std::string& name, const std::string& description = "") {
  fleet::SecurityProfile p;
  p.name = name;
  p.description = description;
  return p;
}

TEST_F(RegistryTest, EachChangeOfAThingIsToldInOrder) {
  ASSERT_TRUE(make_thing("a", "id-a", {{"firmware", "1.2"}, {"site", "x"}}).ok());
  EXPECT_EQ(last_fact(), (fleet::RegistryFact{"a", "id-a", 1, false, "cam", "1.2", {}}));
  ASSERT_TRUE(make_group("top").ok());
  ASSERT_TRUE(make_group("low", "top").ok());
  ASSERT_TRUE(put_in("low", "a").ok());
  EXPECT_THAT(last_fact().groups, ElementsAre("low", "top")) << "ancestors are among them";
  EXPECT_EQ(last_fact().version, 2);
  EXPECT_EQ(thing("a").version, 1) << "the registry's row is as it was";
  ASSERT_TRUE(put_in("low", "a").ok());
  EXPECT_EQ(said(fleet::topic::devices).size(), 2U) << "again is no change";
  ASSERT_TRUE(change([&](Tx& tx) { return remove_from_group(tx, "low", "a", now_); }).ok());
  EXPECT_THAT(last_fact().groups, IsEmpty());
  ASSERT_TRUE(change([&](Tx& tx) { return delete_thing(tx, "a", now_); }).ok());
  EXPECT_TRUE(last_fact().deleted);
  EXPECT_EQ(last_fact().version, 4);
  std::int64_t version = 0;
  for (const Said& s : said(fleet::topic::devices)) {
    EXPECT_EQ(s.key, "a");
    EXPECT_EQ(s.version, ++version);
    EXPECT_NE(s.headers.find("id-a"), std::string::npos) << "the id stands beside the name";
    EXPECT_NE(s.headers.find("registry"), std::string::npos);
  }
}

TEST_F(RegistryTest, ThingsAreToldAgainPageByPage) {
  ASSERT_TRUE(make_group("top").ok());
  ASSERT_TRUE(make_group("low", "top").ok());
  for (const std::string name : {"a", "b", "c", "gone"}) ASSERT_TRUE(make_thing(name, "id-" + name).ok());
  ASSERT_TRUE(put_in("low", "c").ok());
  ASSERT_TRUE(change([&](Tx& tx) { return delete_thing(tx, "gone", now_); }).ok());
  const std::size_t before = said(fleet::topic::devices).size();
  std::vector<std::string> pages;
  do {
    const auto last =
        in_store<std::string>([&](Tx& tx) { return tell_things(tx, pages.empty() ? "" : pages.back(), 2, now_); });
    ASSERT_TRUE(last.ok());
    pages.push_back(*last);
  } while (!pages.back().empty());
  EXPECT_THAT(pages, ElementsAre("b", "c", ""));
  const std::vector<Said> all = said(fleet::topic::devices);
  ASSERT_EQ(all.size(), before + 3);
  EXPECT_EQ(all[before].key, "a");
  EXPECT_EQ(all[before].version, 2) << "newer than what a detector may know";
  EXPECT_EQ(last_fact(), (fleet::RegistryFact{"c", "id-c", 3, false, "cam", "", {"low", "top"}}));
}

TEST_F(RegistryTest, WhatHasLeftTheOutboxWasPublished) {
  const auto published = [&] { return *in_store<bool>([](Tx& tx) { return has_published(tx); }); };
  EXPECT_FALSE(published());
  ASSERT_TRUE(make_thing("a", "id-a").ok());
  ASSERT_TRUE(make_thing("b", "id-b").ok());
  EXPECT_FALSE(published()) << "both wait";
  ASSERT_TRUE(change([](Tx& tx) -> Status {
                const auto gone = tx.execute("DELETE FROM outbox WHERE key='b'", {});
                return gone.ok() ? Status() : Status(gone.error());
              }).ok());
  EXPECT_TRUE(published());
}

TEST_F(RegistryTest, AThingMadeAnewInheritsNothing) {
  ASSERT_TRUE(make_group("g").ok());
  ASSERT_TRUE(make_thing("a", "first").ok());
  ASSERT_TRUE(put_in("g", "a").ok());
  ASSERT_TRUE(change([&](Tx& tx) { return delete_thing(tx, "a", now_); }).ok());
  EXPECT_EQ(change([&](Tx& tx) { return delete_thing(tx, "a", now_); }).error().code, ErrorCode::not_found);
  const auto again = make_thing("a", "second");
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->id, "second");
  EXPECT_EQ(again->version, 1);
  EXPECT_THAT(last_fact().groups, IsEmpty());
  EXPECT_EQ(last_fact().version, 4) << "a detector that knew the first hears of the second";
  const auto kept = in_store<std::string>([](Tx& tx) -> Result<std::string> {
    const auto rows = tx.query("SELECT id, version FROM deleted_things");
    if (!rows) return rows.error();
    return fmt::format("{}@{}", rows->at(0).text(0), rows->at(0).integer(1));
  });
  EXPECT_EQ(*kept, "first@2") << "id and version stay behind";
}

TEST_F(RegistryTest, AChangedThingIsTold) {
  ASSERT_TRUE(make_thing("a", "id-a", {{"firmware", "1.2"}}).ok());
  ASSERT_TRUE(change([&](Tx& tx) { return update_thing(tx, "a", "lamp", {{"firmware", "1.3"}}, now_); }).ok());
  EXPECT_EQ(last_fact(), (fleet::RegistryFact{"a", "id-a", 2, false, "lamp", "1.3", {}}));
  EXPECT_EQ(thing("a").version, 2);
  EXPECT_EQ(change([&](Tx& tx) { return update_thing(tx, "none", "", {}, now_); }).error().code, ErrorCode::not_found);
}

TEST_F(RegistryTest, TheThingsOfADeletedGroupLeaveIt) {
  ASSERT_TRUE(make_thing("a", "id-a").ok());
  ASSERT_TRUE(make_group("top").ok());
  ASSERT_TRUE(make_group("low", "top").ok());
  ASSERT_TRUE(put_in("low", "a").ok());
  const auto drop = [&](const std::string& name) {
    return change([&](Tx& tx) { return delete_group(tx, name, now_); });
  };
  EXPECT_EQ(drop("top").error().code, ErrorCode::failed_precondition) << "a group is below it";
  ASSERT_TRUE(drop("low").ok());
  EXPECT_THAT(last_fact().groups, IsEmpty());
  EXPECT_TRUE(drop("top").ok());
  EXPECT_TRUE(drop("top").ok());
}

TEST_F(RegistryTest, TheSameAgainIsNoErrorAndAnotherOneIs) {
  ASSERT_TRUE(make_thing("a", "one").ok());
  EXPECT_EQ(make_thing("a", "two")->id, "one");
  EXPECT_EQ(make_thing("a", "two", {{"x", "y"}}).error().code, ErrorCode::already_exists);
  EXPECT_EQ(said(fleet::topic::devices).size(), 1U);
  ASSERT_TRUE(make_group("g").ok());
  ASSERT_TRUE(make_group("g").ok());
  ASSERT_TRUE(make_group("h").ok());
  EXPECT_EQ(make_group("g", "h").error().code, ErrorCode::already_exists);
  EXPECT_EQ(make_group("x", "none").error().code, ErrorCode::not_found);
  EXPECT_EQ(put_in("none", "a").error().code, ErrorCode::not_found);
  EXPECT_EQ(put_in("g", "none").error().code, ErrorCode::not_found);
}

TEST_F(RegistryTest, GroupsNestSevenDeep) {
  std::string parent;
  for (int depth = 1; depth <= 7; ++depth) {
    const std::string name = fmt::format("d{}", depth);
    ASSERT_TRUE(make_group(name, parent).ok()) << depth;
    parent = name;
  }
  EXPECT_EQ(make_group("d8", parent).error().code, ErrorCode::invalid_argument);
}

TEST_F(RegistryTest, GroupsAreCountedWithWhatIsBelowThem) {
  ASSERT_TRUE(make_group("top").ok());
  ASSERT_TRUE(make_group("left", "top").ok());
  ASSERT_TRUE(make_group("right", "top").ok());
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(make_thing(name, std::string("id-") + name).ok());
  ASSERT_TRUE(put_in("left", "a").ok());
  ASSERT_TRUE(put_in("right", "a").ok());
  ASSERT_TRUE(put_in("right", "b").ok());
  EXPECT_EQ(*in_store<std::int64_t>([](Tx& tx) { return group_size(tx, "top"); }), 2) << "a thing in two counts once";
  const auto members = [&](bool recursive) {
    const auto rows = in_store<std::vector<ThingRow>>([&](Tx& tx) {
      return list_things(tx, {"top", "", recursive}, "", 10);
    });
    std::vector<std::string> names;
    for (const auto& row : *rows) names.push_back(row.name);
    return names;
  };
  EXPECT_THAT(members(false), IsEmpty());
  EXPECT_THAT(members(true), ElementsAre("a", "b"));
}

TEST_F(RegistryTest, AFailedTransactionSaysNothing) {
  const Status failed = change([&](Tx& tx) -> Status {
    const auto made = create_thing(tx, "a", "id", "", {}, now_);
    if (!made) return made.error();
    return Error(ErrorCode::conflict, "something later");
  });
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(said(fleet::topic::devices), IsEmpty());
  EXPECT_TRUE(make_thing("a", "other").ok());
}

// ---- profiles

TEST_F(RegistryTest, ManifestsRiseAndNameWhatHoldsTogether) {
  ASSERT_TRUE(make_group("g").ok());
  const fleet::Target group{fleet::Target::Kind::thing_group, "g"};
  ASSERT_TRUE(in_store<ProfileRow>([&](Tx& tx) { return create_profile(tx, profile("p"), now_); }).ok());
  ASSERT_TRUE(change([&](Tx& tx) { return attach_profile(tx, "p", group, now_); }).ok());
  const fleet::Manifest first = last_manifest();
  EXPECT_EQ(first.profiles, (std::vector<fleet::Manifest::Entry>{{"p", 1, {group}}}));
  const auto updated =
      in_store<ProfileRow>([&](Tx& tx) { return update_profile(tx, profile("p", "new"), std::int64_t{1}, now_); });
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(updated->profile.version, 2);
  EXPECT_EQ(last_manifest().number, first.number + 1);
  EXPECT_EQ(last_manifest().profiles[0].version, 2);
  std::vector<std::string> keys;
  for (const Said& s : said(fleet::topic::rules)) keys.push_back(s.key);
  EXPECT_THAT(keys, ElementsAre("profile/p@1", "manifest/1", "profile/p@2", "manifest/2"))
      << "a version is there before a manifest names it";
  const auto stale =
      in_store<ProfileRow>([&](Tx& tx) { return update_profile(tx, profile("p", "x"), std::int64_t{1}, now_); });
  EXPECT_EQ(stale.error().code, ErrorCode::conflict);
  ASSERT_TRUE(change([&](Tx& tx) { return detach_profile(tx, "p", group, now_); }).ok());
  EXPECT_THAT(last_manifest().profiles, IsEmpty());
}

TEST_F(RegistryTest, AStoreFromABackupUsesNoNumberThatTheBusHas) {
  ASSERT_TRUE(in_store<ProfileRow>([&](Tx& tx) { return create_profile(tx, profile("p"), now_); }).ok());
  // What a relay notes when it finds newer rules on the bus than the store remembers.
  for (const char* key : {"profile/p@2", "profile/p@3", "manifest/1", "manifest/2", "manifest/3"})
    ASSERT_TRUE(change([&](Tx& tx) { return raise_version(tx, fleet::topic::rules, key, 1); }).ok());
  const auto updated =
      in_store<ProfileRow>([&](Tx& tx) { return update_profile(tx, profile("p", "new"), std::int64_t{1}, now_); });
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(updated->profile.version, 4);
  EXPECT_EQ(last_manifest().number, 4) << "a detector that applies manifest 3 would ignore a lower one";
  EXPECT_EQ(
      in_store<ProfileRow>([&](Tx& tx) { return update_profile(tx, profile("p", "x"), {}, now_); })->profile.version,
      5);
  EXPECT_EQ(last_manifest().number, 5);
}

TEST_F(RegistryTest, ADeletedProfilesVersionsAreNotUsedAgain) {
  const auto made = [&] {
    return in_store<ProfileRow>([&](Tx& tx) { return create_profile(tx, profile("p", "d"), now_); });
  };
  ASSERT_EQ(made()->profile.version, 1);
  ASSERT_TRUE(change([&](Tx& tx) { return delete_profile(tx, "p", {}, now_); }).ok());
  EXPECT_EQ(made()->profile.version, 2) << "kept records may name version 1 as it was";
}

TEST_F(RegistryTest, ApplyIsOneManifestAndIdempotent) {
  ASSERT_TRUE(make_group("g").ok());
  const fleet::Target group{fleet::Target::Kind::thing_group, "g"};
  const fleet::Target all{fleet::Target::Kind::all_things, ""};
  const auto apply = [&](const std::vector<fleet::Target>& targets) {
    return in_store<ProfileRow>([&](Tx& tx) { return apply_profile(tx, profile("p", "d"), targets, now_); });
  };
  ASSERT_EQ(apply({group, all})->profile.version, 1);
  const std::int64_t number = last_manifest().number;
  EXPECT_EQ(last_manifest().profiles[0].targets.size(), 2U);
  ASSERT_TRUE(apply({group, all}).ok());
  EXPECT_EQ(last_manifest().number, number);
  ASSERT_TRUE(apply({all}).ok());
  EXPECT_EQ(last_manifest().number, number + 1);
  EXPECT_EQ(last_manifest().profiles, (std::vector<fleet::Manifest::Entry>{{"p", 1, {all}}}));
  EXPECT_EQ(apply({{fleet::Target::Kind::thing_group, "none"}}).error().code, ErrorCode::not_found);
  EXPECT_EQ(last_manifest().number, number + 1);
}

TEST_F(RegistryTest, CustomMetricsAreInTheManifest) {
  const fleet::CustomMetric cpu{"cpu", fleet::CustomMetricType::number, "CPU"};
  ASSERT_TRUE(in_store<CustomMetricRow>([&](Tx& tx) { return create_custom_metric(tx, cpu, now_); }).ok());
  ASSERT_EQ(last_manifest().custom_metrics.size(), 1U);
  EXPECT_EQ(last_manifest().custom_metrics[0].name, "cpu");
  ASSERT_TRUE(change([&](Tx& tx) { return delete_custom_metric(tx, "cpu", now_); }).ok());
  EXPECT_THAT(last_manifest().custom_metrics, IsEmpty());
  const std::int64_t number = last_manifest().number;
  ASSERT_TRUE(change([&](Tx& tx) { return delete_custom_metric(tx, "cpu", now_); }).ok());
  ASSERT_TRUE(change([&](Tx& tx) { return ensure_manifest(tx, now_); }).ok());
  EXPECT_EQ(last_manifest().number, number);
}

}  // namespace
}  // namespace fleetward::repository
