// Alarms that end, things that are made anew, revocations of one certificate.
#include "pki/certificate.hpp"
#include "repository/action_fixture.hpp"

namespace fleetward::repository {
namespace {

using fleet::ViolationEventType;
using ::testing::ElementsAre;

class AlarmTest : public ActionTest {
 protected:
  void SetUp() override {
    ActionTest::SetUp();
    fleet_of(40, "g");
  }
  Action made(const fleet::ViolationEvent& v) {
    const auto a = decided(v);
    EXPECT_TRUE(a);
    return a ? *a : Action();
  }
  std::optional<Action> ended(fleet::ViolationEvent v, ViolationEventType type) {
    v.type = type;
    v.reason = type == ViolationEventType::alarm_cleared ? "back to normal" : "the profile was deleted";
    return decided(v);
  }
  std::vector<std::string> steps(const Action& a) {
    std::vector<std::string> out;
    const auto all = in<std::vector<ActionStep>>([&](store::Transaction& tx) { return steps_of(tx, a.id); });
    for (const auto& s : *all) out.push_back(s.step);
    return out;
  }
  // A rule's canary that is not proven yet: what comes after it waits.
  Action canary() { return made(violation("g-0", "g")); }
};

TEST_F(AlarmTest, AnInvalidatedAlarmWithdrawsWhatWaitsOnceAllOfThemAre) {
  canary();
  const auto first = violation("g-1", "g");
  const auto second = violation("g-1", "g");
  const Action waits = made(first);
  ASSERT_EQ(waits.state, ActionState::proposed);
  made(second);
  EXPECT_EQ(ended(first, ViolationEventType::alarm_invalidated)->state, ActionState::proposed) << "one is left";
  EXPECT_FALSE(ended(first, ViolationEventType::alarm_invalidated)) << "again is nothing new";
  const auto withdrawn = ended(second, ViolationEventType::alarm_invalidated);
  EXPECT_EQ(withdrawn->state, ActionState::refused);
  EXPECT_THAT(withdrawn->invalidated, ElementsAre(first.violation_id, second.violation_id));
  EXPECT_THAT(steps(waits), ElementsAre("waiting", "violation_joined", "alarm_invalidated", "refused"));
  const auto all = in<std::vector<ActionStep>>([&](store::Transaction& tx) { return steps_of(tx, waits.id); });
  const ActionStep& last = all->back();
  EXPECT_EQ(last.actor, "responder");
  EXPECT_EQ(last.why, "the alarm was invalidated: the profile was deleted");
}

TEST_F(AlarmTest, AClearedAlarmLetsNothingBeginByItself) {
  const Action first = canary();
  const auto v = violation("g-1", "g");
  const Action waits = made(v);
  const auto asks = ended(v, ViolationEventType::alarm_cleared);
  EXPECT_EQ(asks->state, ActionState::awaiting_approval);
  EXPECT_THAT(asks->wait_reason, HasSubstr("the alarm has cleared"));
  EXPECT_THAT(asks->cleared, ElementsAre(v.violation_id));
  proven(first);
  ASSERT_TRUE(run([&](store::Transaction& tx) { return reconsider_waiting(tx, policy_, now_); }).ok());
  EXPECT_EQ(action(waits.id).state, ActionState::awaiting_approval);
  EXPECT_EQ(holds("g-1"), 0U);
  // It is infected again: nothing keeps it from being isolated by itself.
  EXPECT_EQ(made(violation("g-1", "g")).state, ActionState::executing);
}

TEST_F(AlarmTest, WhatAsksGoesOnAskingAndSaysThatTheAlarmHasCleared) {
  policy_.playbook.entries[0].mode = respond::EntryMode::ask;
  const auto v = violation("g-1", "g");
  const Action asks = made(v);
  const auto after = ended(v, ViolationEventType::alarm_cleared);
  EXPECT_EQ(after->state, ActionState::awaiting_approval);
  EXPECT_EQ(after->wait_reason, asks.wait_reason);
  EXPECT_THAT(after->cleared, ElementsAre(v.violation_id));
  EXPECT_THAT(steps(asks), ElementsAre("awaiting_approval", "alarm_cleared"));
  EXPECT_EQ(made(violation("g-1", "g")).state, ActionState::awaiting_approval) << "the playbook asks";
}

TEST_F(AlarmTest, ClearedAndInvalidatedTogetherStayWithAPerson) {
  canary();
  const auto one = violation("g-1", "g");
  const auto other = violation("g-1", "g");
  made(one);
  made(other);
  ended(one, ViolationEventType::alarm_invalidated);
  EXPECT_EQ(ended(other, ViolationEventType::alarm_cleared)->state, ActionState::awaiting_approval);
}

TEST_F(AlarmTest, WhatIsInForceStaysInForce) {
  const auto v = violation("g-1", "g");
  const Action a = proven(made(v));
  EXPECT_EQ(ended(v, ViolationEventType::alarm_invalidated)->state, ActionState::refused)
      << "the revocation that was to follow";
  EXPECT_EQ(action(a.id).state, ActionState::in_effect);
  EXPECT_THAT(action(a.id).invalidated, ElementsAre(v.violation_id));
  EXPECT_EQ(holds("g-1"), 1U);
}

TEST_F(AlarmTest, MoreViolationsThanItListsAreNeverOver) {
  canary();
  std::vector<fleet::ViolationEvent> all;
  for (int i = 0; i < 101; ++i) made(all.emplace_back(violation("g-1", "g")));
  std::optional<Action> last;
  for (int i = 0; i < 100; ++i) last = ended(all[static_cast<std::size_t>(i)], ViolationEventType::alarm_invalidated);
  EXPECT_EQ(last->state, ActionState::proposed);
}

class SameNameTest : public AlarmTest {
 protected:
  void delete_thing_and_make_it_anew(const std::string& name) {
    ASSERT_TRUE(run([&](store::Transaction& tx) { return remove_from_group(tx, "g", name, now_); }).ok());
    ASSERT_TRUE(run([&](store::Transaction& tx) { return delete_thing(tx, name, now_); }).ok());
    ASSERT_TRUE(in<ThingRow>([&](store::Transaction& tx) { return create_thing(tx, name, "new-id", "", {}, now_); }));
  }
  Decision decision(const fleet::ViolationEvent& v) {
    return *in<Decision>([&](store::Transaction& tx) { return decide(tx, policy_, v, now_); });
  }
};

TEST_F(SameNameTest, AViolationOfADeletedThingDoesNothingToItsNamesake) {
  const auto old = violation("g-1", "g");
  delete_thing_and_make_it_anew("g-1");
  const Decision d = decision(old);
  EXPECT_TRUE(d.foreign);
  EXPECT_FALSE(d.action);
  EXPECT_EQ(count("SELECT count(*) FROM actions"), 0);
  EXPECT_EQ(count("SELECT count(*) FROM governor_hits"), 0) << "nor does it count for the brake";
  auto own = violation("g-1", "g");
  own.thing_id = "new-id";
  EXPECT_EQ(decision(own).action->thing_id, "new-id");
  auto nobody = violation("none", "g");
  EXPECT_TRUE(decision(nobody).foreign);
}

TEST_F(SameNameTest, AnApprovalForADeletedThingIsRefused) {
  policy_.playbook.entries[0].mode = respond::EntryMode::ask;
  const Action old = made(violation("g-1", "g"));
  delete_thing_and_make_it_anew("g-1");
  const auto approved = in<Action>([&](store::Transaction& tx) { return approve(tx, old.id, "anna", "sure", now_); });
  ASSERT_FALSE(approved);
  EXPECT_EQ(approved.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(approved.error().message, HasSubstr("g-1 was deleted"));
  auto own = violation("g-1", "g");
  own.thing_id = "new-id";
  EXPECT_NE(decision(own).action->id, old.id) << "nor does it take in what the new thing does";
  EXPECT_TRUE(in<Action>([&](store::Transaction& tx) { return refuse(tx, old.id, "anna", "gone", now_); }));
}

TEST_F(SameNameTest, WhatWaitedForItsCanaryIsWithdrawn) {
  const Action first = canary();
  const Action waits = made(violation("g-1", "g"));
  delete_thing_and_make_it_anew("g-1");
  proven(first);
  ASSERT_TRUE(run([&](store::Transaction& tx) { return reconsider_waiting(tx, policy_, now_); }).ok());
  EXPECT_EQ(action(waits.id).state, ActionState::refused);
  EXPECT_EQ(holds("g-1"), 0U);
}

TEST_F(SameNameTest, AReleaseStillWorksAndIsTheNewThingsRecord) {
  const Action old = made(violation("g-1", "g"));
  delete_thing_and_make_it_anew("g-1");
  EXPECT_TRUE(in<Action>([&](store::Transaction& tx) { return release(tx, old.id, "anna", "clean", now_); }));
  EXPECT_EQ(holds("g-1"), 0U);
  EXPECT_EQ(count("SELECT count(*) FROM outbox WHERE topic='fleetward.access' AND value LIKE '%new-id%'"), 1);
}

TEST_F(AlarmTest, ObservedActionsDoNotStandBeforeThoseThatWaitForTheirCanary) {
  policy_.enforcing = false;
  for (int i = 20; i < 40; ++i) made(violation(fmt::format("g-{}", i), "g", fmt::format("other-{}", i)));
  policy_.enforcing = true;
  canary();
  const Action waits = made(violation("g-1", "g"));
  const auto waiting = in<std::vector<Action>>([&](store::Transaction& tx) { return waiting_for_canary(tx, 10); });
  ASSERT_THAT(*waiting, SizeIs(1));
  EXPECT_EQ(waiting->front().id, waits.id);
}

class OneCertificateTest : public ActionTest {
 protected:
  CertificateRow issued(const std::string& thing, const std::string& request) {
    crypto::SystemRandom random;
    const auto key = *crypto::PrivateKey::generate();
    pki::Issuer root{*crypto::PrivateKey::generate(), {}};
    root.certificate_pem = *pki::make_root(root.key, "Test", now_, std::chrono::hours(24 * 365), random);
    pki::LeafRequest leaf;
    leaf.common_name = thing;
    leaf.uris = {pki::thing_uri(thing)};
    leaf.lifetime = std::chrono::hours(24);
    const std::string pem = *pki::issue(root, key.public_key(), leaf, now_, random);
    const SigningRequest r{request, false, thing, "id-" + thing, key.public_key().to_pem(), true};
    EXPECT_TRUE(run([&](store::Transaction& tx) { return ask_for_certificate(tx, r, now_); }).ok());
    EXPECT_TRUE(run([&](store::Transaction& tx) { return finish_signing(tx, r, pem, "issuer", now_); }).ok());
    const std::string id = pki::read_certificate(pem)->fingerprint;
    return **in<std::optional<CertificateRow>>([&](store::Transaction& tx) { return find_certificate(tx, id); });
  }
};

TEST_F(OneCertificateTest, IsRevokedByAnActionThatHoldsNobody) {
  fleet_of(3, "g");
  const CertificateRow stolen = issued("g-1", "r1");
  const CertificateRow other = issued("g-1", "r2");
  const auto a = in<Action>(
      [&](store::Transaction& tx) { return revoke_certificate_by_hand(tx, stolen, "stolen", "anna", now_); });
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->level, HoldLevel::revoke);
  EXPECT_EQ(a->state, ActionState::executing);
  EXPECT_THAT(a->certificates, ElementsAre(stolen.id));
  EXPECT_EQ(a->approved_by, "anna");
  EXPECT_EQ(holds("g-1"), 0U);
  EXPECT_EQ(count("SELECT count(*) FROM outbox WHERE topic='fleetward.access'"), 0);
  const auto status = [&](const CertificateRow& c) {
    return (**in<std::optional<CertificateRow>>([&](store::Transaction& tx) { return find_certificate(tx, c.id); }))
        .status;
  };
  EXPECT_EQ(status(stolen), fleet::CertificateStatus::revoked);
  EXPECT_EQ(status(other), fleet::CertificateStatus::active);
  EXPECT_EQ(proven(*a).state, ActionState::in_effect);
  EXPECT_EQ(in<Action>([&](store::Transaction& tx) { return release(tx, a->id, "anna", "filed", now_); })->state,
            ActionState::released);
  EXPECT_EQ(status(stolen), fleet::CertificateStatus::revoked);
}

}  // namespace
}  // namespace fleetward::repository
