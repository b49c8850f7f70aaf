// How steps of actions become incidents in the store, without a running role.
#include "services/notifier/notifier_fixture.hpp"

namespace fleetward::notifier {
namespace {

using namespace testing_support;  // the fixture is there for this file
using ::testing::ElementsAre;
using ::testing::SizeIs;

class FoldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("fw_fold_{}_{}", ::getpid(), counter_++);
    fs::create_directories(dir_);
    fw_ = std::make_unique<Installation>(dir_);
  }
  void TearDown() override {
    fw_.reset();
    fs::remove_all(dir_);
  }
  fs::path dir_;
  std::unique_ptr<Installation> fw_;
  static inline int counter_ = 0;
};

TEST_F(FoldTest, ABacklogThatOpensAndClosesIsFoldedAtOnce) {
  ASSERT_TRUE(fw_->fold({step("a1", "cam1", ActionState::executing), step("a1", "cam1", ActionState::released, 2),
                         step("a2", "cam1", ActionState::executing), step("a2", "cam1", ActionState::released, 2),
                         step("a3", "cam1", ActionState::executing), step("a4", "cam2", ActionState::refused)})
                  .ok());
  EXPECT_THAT(fw_->incidents(false), SizeIs(2));
  EXPECT_THAT(fw_->incidents(true), SizeIs(1));
  EXPECT_THAT(fw_->published(), SizeIs(3)) << "each incident that changed, once";
}

TEST_F(FoldTest, WindowAndEntrySeparateIncidents) {
  fleet::ActionEvent late = step("a2", "cam2", ActionState::executing);
  late.time += Millis(11 * 60'000);
  fleet::ActionEvent other = step("a3", "cam3", ActionState::executing);
  other.action.entry = "restrict-noisy";
  fleet::ActionEvent next = step("a4", "cam1", ActionState::awaiting_approval);
  next.time += Millis(60 * 60'000);
  next.action.level = HoldLevel::revoke;
  next.action.follows = "a1";
  ASSERT_TRUE(fw_->fold({step("a1", "cam1", ActionState::in_effect), late, other, next}).ok());
  const auto incidents = fw_->incidents();
  ASSERT_THAT(incidents, SizeIs(3));
  const auto of_first =
      std::find_if(incidents.begin(), incidents.end(), [](const auto& i) { return i.members.front().action == "a1"; });
  ASSERT_NE(of_first, incidents.end());
  EXPECT_THAT(of_first->members, SizeIs(2)) << "the next step belongs to the same incident, whenever it comes";
}

TEST_F(FoldTest, WhatWasOpenAgainIsResolvedAgain) {
  const std::string receiver = "http://pager";
  const auto due = [&] {
    return *fw_->in_store<std::vector<fleet::Incident>>(
        [&](store::Transaction& tx) { return repository::due_pages(tx, receiver, now(), std::chrono::hours(1), 10); });
  };
  const auto page = [&](const fleet::Incident& incident) {
    return fw_->in_store<bool>([&](store::Transaction& tx) -> Result<bool> {
      const Status noted = repository::note_page(tx, incident, receiver, now());
      if (!noted) return noted.error();
      return true;
    });
  };
  fleet::ActionEvent next = step("a2", "cam1", ActionState::executing);
  next.action.level = HoldLevel::revoke;
  next.action.follows = "a1";
  ASSERT_TRUE(
      fw_->fold({step("a1", "cam1", ActionState::executing), step("a1", "cam1", ActionState::released, 2)}).ok());
  ASSERT_THAT(due(), SizeIs(1));
  ASSERT_TRUE(page(due()[0]));
  EXPECT_THAT(due(), SizeIs(0));
  ASSERT_TRUE(fw_->fold({next}).ok());
  ASSERT_THAT(fw_->incidents(true), SizeIs(1));  // it was paged, and the answer was lost
  next = step("a2", "cam1", ActionState::released, 2);
  next.action.level = HoldLevel::revoke;
  next.action.follows = "a1";
  ASSERT_TRUE(fw_->fold({next}).ok());
  ASSERT_THAT(fw_->incidents(true), SizeIs(0));
  EXPECT_THAT(due(), SizeIs(1)) << "the receiver may believe that it is open";
}

fleet::GovernorEvent told(fleet::GovernorStep what, std::int64_t number) {
  const fleet::GovernorCondition c{fleet::GovernorKind::brake, "cams/ports", "responder", "10 things",
                                   instant_from_ms(1'795'000'000'000)};
  return {fmt::format("governor.{}", number), number, what, "anna", "why", c.since + Millis(number), c};
}

TEST_F(FoldTest, WhatHoldsTheGovernorBackIsOneIncidentForAsLongAsItDoes) {
  const auto fold = [&](const std::vector<fleet::GovernorEvent>& events) {
    return fw_->in_store<bool>([&](store::Transaction& tx) -> Result<bool> {
      const Status folded = repository::fold_governor(tx, events, now());
      if (!folded) return folded.error();
      return true;
    });
  };
  using fleet::GovernorStep;
  ASSERT_TRUE(fold({told(GovernorStep::raised, 1), told(GovernorStep::raised, 1)}));
  ASSERT_THAT(fw_->incidents(true), SizeIs(1));
  EXPECT_EQ(fw_->incidents()[0].condition->subject, "cams/ports");
  EXPECT_EQ(fw_->incidents()[0].entry, "governor/brake");
  ASSERT_TRUE(fold({told(GovernorStep::raised, 1), told(GovernorStep::ended, 2), told(GovernorStep::ended, 2)}));
  EXPECT_THAT(fw_->incidents(true), SizeIs(0));
  EXPECT_THAT(fw_->incidents(false), SizeIs(1));
  EXPECT_THAT(fw_->published(), SizeIs(2));
  fleet::GovernorEvent unknown = told(GovernorStep::ended, 3);
  unknown.condition.subject = "another";
  EXPECT_TRUE(fold({unknown})) << "the end of what nobody was told of";
  fleet::GovernorEvent canary = told(GovernorStep::reset, 4);
  canary.condition.kind = fleet::GovernorKind::canary;
  EXPECT_TRUE(fold({canary}));
  EXPECT_THAT(fw_->incidents(), SizeIs(1));
}

// What holds back began before the devices' incident did, and who is told of it after which time.
class HeldBackTest : public FoldTest {
 protected:
  using Kind = fleet::GovernorKind;
  void tell(Kind kind, fleet::GovernorStep what) {
    ++number_;
    const fleet::GovernorCondition c{kind, "cams/ports", "responder", "10 things", start_};
    const std::vector<fleet::GovernorEvent> events{
        {fmt::format("governor.{}", number_), number_, what, "anna", "why", c.since + Millis(number_), c}};
    ASSERT_TRUE(fw_->in_store<bool>([&](store::Transaction& tx) -> Result<bool> {
      const Status folded = repository::fold_governor(tx, events, now());
      if (!folded) return folded.error();
      return true;
    }));
  }
  // Entries of what the receiver is told `later` after the begin, which it then has; as the webhook has it, too.
  std::vector<std::string> told(Millis later = std::chrono::minutes(1)) {
    const Instant at = start_ + later;
    const auto take = [&](const std::string& receiver, bool each_change) {
      return *fw_->in_store<std::vector<std::string>>([&](store::Transaction& tx) -> Result<std::vector<std::string>> {
        const auto due = each_change ? repository::due_changes(tx, receiver, start_, at, 10)
                                     : repository::due_pages(tx, receiver, at, std::chrono::hours(1), 10);
        if (!due) return due.error();
        std::vector<std::string> out;
        for (const fleet::Incident& i : *due) {
          out.push_back(i.entry + (i.open ? " open" : " closed"));
          if (const Status noted = repository::note_page(tx, i, receiver, at); !noted) return noted.error();
        }
        return out;
      });
    };
    std::vector<std::string> pages = take("http://pager", false);
    EXPECT_EQ(take("webhook", true), pages);
    return pages;
  }
  Instant start_ = now();
  std::int64_t number_ = 0;
};

TEST_F(HeldBackTest, OnePageWhileTheDevicesTellOfIt) {
  using fleet::GovernorStep;
  tell(Kind::brake, GovernorStep::raised);
  tell(Kind::cap, GovernorStep::raised);
  EXPECT_THAT(told(Millis(5'000)), SizeIs(0)) << "the devices' are on their way";
  ASSERT_TRUE(fw_->fold({step("a1", "cam1", ActionState::awaiting_approval)}).ok());
  EXPECT_THAT(told(), ElementsAre("isolate-infected open"));
  EXPECT_THAT(fw_->incidents(true), SizeIs(3)) << "recorded all the same";
  tell(Kind::cap, GovernorStep::ended);
  EXPECT_THAT(told(), SizeIs(0)) << "nobody was told of it";
  ASSERT_TRUE(fw_->fold({step("a1", "cam1", ActionState::refused, 2)}).ok());
  auto both = told();
  std::sort(both.begin(), both.end());
  EXPECT_THAT(both, ElementsAre("governor/brake open", "isolate-infected closed")) << "it is still on";
  ASSERT_TRUE(fw_->fold({step("a2", "cam2", ActionState::awaiting_approval)}).ok());
  EXPECT_THAT(told(), ElementsAre("isolate-infected open"));
  const auto kept_alive = *fw_->in_store<std::vector<fleet::Incident>>([&](store::Transaction& tx) {
    return repository::due_pages(tx, "http://pager", start_ + std::chrono::hours(3), std::chrono::hours(1), 10);
  });
  EXPECT_THAT(kept_alive, SizeIs(2)) << "what went out stays up";
  tell(Kind::brake, GovernorStep::ended);
  EXPECT_THAT(told(), ElementsAre("governor/brake closed")) << "and is resolved";
}

TEST_F(HeldBackTest, AStopIsToldAlwaysAndAtOnce) {
  ASSERT_TRUE(fw_->fold({step("a1", "cam1", ActionState::awaiting_approval)}).ok());
  EXPECT_THAT(told(Millis(0)), SizeIs(1));
  tell(Kind::stop_switch, fleet::GovernorStep::raised);
  EXPECT_THAT(told(Millis(0)), ElementsAre("governor/stop_switch open"));
  tell(Kind::stop_file, fleet::GovernorStep::raised);
  EXPECT_THAT(told(Millis(0)), ElementsAre("governor/stop_file open"));
}

TEST_F(FoldTest, AnIncidentHasALimitAndSoHasItsRecord) {
  for (int batch = 0; batch < 5; ++batch) {
    std::vector<fleet::ActionEvent> events;
    for (int i = 0; i < 500; ++i) {
      const int n = batch * 500 + i;
      events.push_back(step(fmt::format("a{}", n), fmt::format("cam{}", n), ActionState::awaiting_approval));
      events.back().action.reason = std::string(5'000, 'r');
    }
    ASSERT_TRUE(fw_->fold(events).ok());
  }
  std::vector<std::size_t> sizes;
  for (const auto& i : fw_->incidents(true)) sizes.push_back(i.members.size());
  std::sort(sizes.begin(), sizes.end());
  EXPECT_THAT(sizes, ElementsAre(500U, 2'000U));
  for (const std::string& record : fw_->published()) EXPECT_LT(record.size(), bus::record_bytes_max / 2);
}

TEST_F(FoldTest, OldIncidentsAreForgottenAndOpenOnesAreNot) {
  ASSERT_TRUE(fw_->fold({step("a1", "cam1", ActionState::executing), step("a1", "cam1", ActionState::released, 2),
                         step("a2", "cam2", ActionState::executing)})
                  .ok());
  const auto removed = fw_->in_store<std::int64_t>([](store::Transaction& tx) {
    return repository::prune_incidents(tx, now() + repository::incidents_kept + Millis(1'000));
  });
  EXPECT_EQ(removed.value_or(0), 1);
  ASSERT_THAT(fw_->incidents(), SizeIs(1));
  EXPECT_TRUE(fw_->incidents()[0].open);
}

}  // namespace
}  // namespace fleetward::notifier
