// The stop file, the stop switch, and what a decision leaves alone.
#include "services/responder/stop.hpp"

#include <fstream>

#include "repository/governor_repository.hpp"
#include "services/responder/test_world.hpp"

namespace fleetward::responder {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class StopTest : public ResponderTest {
 protected:
  void SetUp() override {
    ResponderTest::SetUp();
    config_.stop_file = folder_ / "STOP";
  }
  void put_file(std::string_view words) { std::ofstream(config_.stop_file) << words; }
  double gauge() { return metrics_.gauge("fleetward_responder_stop_switch", "").value(); }
  std::vector<fleet::GovernorCondition> conditions() {
    return in_store<std::vector<fleet::GovernorCondition>>(
        [](store::Transaction& tx) { return repository::governor_conditions(tx); });
  }
  std::optional<Action> action_of(const std::string& thing) {
    const auto all = in_store<std::vector<Action>>([&](store::Transaction& tx) {
      return repository::list_actions(tx, {thing, ""}, "", 10);
    });
    return all.empty() ? std::nullopt : std::optional(all.front());
  }
};

TEST_F(StopTest, TheWordsOfTheFile) {
  EXPECT_FALSE(words_of_stop_file(""));
  EXPECT_FALSE(words_of_stop_file(config_.stop_file));
  put_file("");
  EXPECT_EQ(words_of_stop_file(config_.stop_file), "");
  put_file("anna: a storm\x1b[2J\nmore");
  EXPECT_THAT(*words_of_stop_file(config_.stop_file), HasSubstr("anna: a storm"));
  EXPECT_EQ(words_of_stop_file(config_.stop_file)->find('\x1b'), std::string::npos);
  put_file(std::string(10'000, 'x'));
  EXPECT_LE(words_of_stop_file(config_.stop_file)->size(), stop_words_max);
  EXPECT_TRUE(words_of_stop_file(folder_)) << "a folder of the name stops, too";
  EXPECT_TRUE(words_of_stop_file(folder_ / std::string(300, 'x'))) << "so does what cannot be looked at";
}

TEST_F(StopTest, NothingBeginsByItselfWhileTheFileIsThere) {
  put_file("anna: a storm");
  start();
  violate("cam");
  ASSERT_TRUE(eventually([&] { return action_of("cam").has_value(); }));
  EXPECT_EQ(action_of("cam")->state, ActionState::awaiting_approval);
  EXPECT_THAT(action_of("cam")->wait_reason, HasSubstr("stop"));
  ASSERT_TRUE(eventually([&] { return gauge() == 1; }));
  ASSERT_THAT(conditions(), SizeIs(1));
  EXPECT_EQ(conditions()[0].kind, fleet::GovernorKind::stop_file);
  EXPECT_EQ(conditions()[0].subject, config_.instance + ":" + config_.stop_file);
  EXPECT_EQ(conditions()[0].why, "anna: a storm");
  std::filesystem::remove(config_.stop_file);
  ASSERT_TRUE(eventually([&] { return gauge() == 0 && conditions().empty(); }));
}

TEST_F(StopTest, TheSwitchIsSeenToo) {
  start();
  in_store<bool>([](store::Transaction& tx) -> Result<bool> {
    const Status s = repository::set_stop_switch(tx, true, "anna", "storm", now());
    return s.ok() ? Result<bool>(true) : Result<bool>(s.error());
  });
  EXPECT_TRUE(eventually([&] { return gauge() == 1; }));
}

TEST_F(StopTest, AViolationOfAThingThatIsNoMoreIsCounted) {
  start();
  violate("never-made");
  EXPECT_TRUE(
      eventually([&] { return metrics_.counter("fleetward_responder_foreign_violations_total", "").value() == 1; }));
  EXPECT_FALSE(action_of("never-made"));
}

}  // namespace
}  // namespace fleetward::responder
