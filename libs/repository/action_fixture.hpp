// What tests of actions share: a store in a folder, a fleet, a playbook that acts.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "repository/action_repository.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/governor_repository.hpp"
#include "repository/registry_repository.hpp"
#include "repository/store_fixture.hpp"

namespace fleetward::repository {

using fleet::Action;
using fleet::ActionState;
using fleet::HoldLevel;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ActionTest : public StoreFixture<> {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StoreFixture::SetUp());
    respond::PlaybookEntry entry;
    entry.name = "isolate";
    entry.mode = respond::EntryMode::act;
    entry.then_revoke = true;
    entry.lease = std::chrono::hours(1);
    policy_.playbook.entries = {entry};
    policy_.enforcing = true;
  }

  template <class T>
  Result<T> in(std::function<Result<T>(store::Transaction&)> work) {
    return in_store<T>(work);
  }
  void fleet_of(int count, const std::string& group) {
    ASSERT_TRUE(in<bool>([&](store::Transaction& tx) -> Result<bool> {
                  if (const auto made = create_group(tx, group, "id-" + group, "", "", now_); !made)
                    return made.error();
                  for (int i = 0; i < count; ++i) {
                    const std::string name = fmt::format("{}-{}", group, i);
                    if (const auto thing = create_thing(tx, name, "id-" + name, "", {}, now_); !thing)
                      return thing.error();
                    if (const Status added = add_to_group(tx, group, name, now_); !added) return added.error();
                  }
                  return true;
                }).ok());
  }
  fleet::ViolationEvent violation(const std::string& thing, const std::string& group,
                                  const std::string& behavior = "ports") {
    fleet::ViolationEvent v;
    v.violation_id = fmt::format("{}-{}-{}", thing, behavior, ++violations_);
    v.thing = thing;
    v.thing_id = "id-" + thing;
    v.profile = "p";
    v.behavior.name = behavior;
    v.groups = {group};
    v.expected = "22";
    v.seen = "48101";
    v.time = v.received = now_;
    return v;
  }
  std::optional<Action> decided(const fleet::ViolationEvent& v) {
    const auto d = in<Decision>([&](store::Transaction& tx) { return decide(tx, policy_, v, now_); });
    EXPECT_TRUE(d.ok()) << (d.ok() ? "" : d.error().message);
    return d.ok() ? d->action : std::nullopt;
  }
  Action proven(const Action& a) {
    return *in<Action>([&](store::Transaction& tx) { return mark_verified(tx, a.id, {}, policy_, now_); });
  }
  // A step of a transaction that says only whether it went well.
  Status run(const std::function<Status(store::Transaction&)>& work) {
    const auto done = in<bool>([&](store::Transaction& tx) -> Result<bool> {
      const Status s = work(tx);
      return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
    });
    return done ? Status() : Status(done.error());
  }
  Action action(const std::string& id) {
    return *in<Action>([&](store::Transaction& tx) { return get_action(tx, id); });
  }
  std::int64_t count(const std::string& sql) {
    return *in<std::int64_t>([&](store::Transaction& tx) -> Result<std::int64_t> {
      const auto rows = tx.query(sql);
      if (!rows) return rows.error();
      return rows->at(0).integer(0);
    });
  }
  std::size_t holds(const std::string& thing) {
    return in<std::vector<fleet::Hold>>([&](store::Transaction& tx) { return holds_of(tx, thing); })->size();
  }

  Policy policy_;
  Instant now_ = instant_from_ms(1'800'000'000'000);
  int violations_ = 0;
};

}  // namespace fleetward::repository
