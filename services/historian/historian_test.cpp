#include "services/historian/historian.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "bus/embedded_bus.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "repository/dead_letter_repository.hpp"
#include "repository/migrations.hpp"
#include "repository/violation_repository.hpp"
#include "store/run_and_wait.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::historian {
namespace {

namespace fs = std::filesystem;
using fleet::ViolationEventType;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

fleet::ViolationEvent violation(const std::string& id, const std::string& thing, std::int64_t ms,
                                ViolationEventType type = ViolationEventType::in_alarm) {
  fleet::ViolationEvent e;
  e.violation_id = id;
  e.type = type;
  e.thing = thing;
  e.profile = "cams";
  e.behavior.name = "ports";
  e.behavior.metric = "aws:listening-tcp-ports";
  e.time = e.start_time = e.received = instant_from_ms(ms);
  return e;
}

class HistorianTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("fw_historian_{}_{}", ::getpid(), counter_++);
    fs::create_directories(dir_);
    auto store = store::open_sqlite_store((dir_ / "store.db").string(), metrics_);
    ASSERT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(*store);
    ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
    auto bus = bus::open_embedded_bus((dir_ / "bus.db").string(), metrics_);
    ASSERT_TRUE(bus.ok());
    bus_ = std::move(*bus);
    ASSERT_TRUE(bus_->ensure_topics({{std::string(fleet::topic::violations), 2, bus::TopicKind::log, Millis(0)},
                                     {std::string(fleet::topic::dead_letters), 1, bus::TopicKind::log, Millis(0)}})
                    .ok());
    restart();
  }
  void TearDown() override {
    historian_->stop(Millis(10'000));
    historian_.reset();
    loop_.stop();
    bus_.reset();
    store_.reset();
    fs::remove_all(dir_);
  }
  void restart() {
    if (historian_) historian_->stop(Millis(10'000));
    historian_ = std::make_unique<Historian>(HistorianSettings{}, *bus_, *store_, loop_, metrics_);
    ASSERT_TRUE(historian_->start().ok());
  }
  void append(const std::string& key, std::string value, std::string_view topic = fleet::topic::violations) {
    std::promise<bool> done;
    bus_->append({{std::string(topic), key, std::move(value), {}, std::nullopt}},
                 [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  void append(const fleet::ViolationEvent& e) {
    append(e.thing, fleet::to_json_text({fleet::event_id(e), "/test", "t", e.thing, e.time, to_json(e)}));
  }
  template <class T>
  Result<T> in_store(std::function<Result<T>(store::Transaction&)> work) {
    return store::run_and_wait<T>(*store_, work);
  }
  std::vector<std::string> ids(const repository::ViolationPage& page) {
    std::vector<std::string> out;
    for (const auto& v : page.violations) out.push_back(v.event.violation_id);
    return out;
  }
  repository::ViolationPage active(const repository::ViolationFilter& filter = {}, std::int64_t limit = 100,
                                   const std::optional<repository::ViolationCursor>& after = {}) {
    return *in_store<repository::ViolationPage>(
        [&](store::Transaction& tx) { return repository::list_active_violations(tx, filter, limit, after); });
  }
  repository::ViolationPage events(const repository::ViolationFilter& filter = {}, std::int64_t limit = 100,
                                   const std::optional<repository::ViolationCursor>& after = {}) {
    return *in_store<repository::ViolationPage>(
        [&](store::Transaction& tx) { return repository::list_violation_events(tx, filter, limit, after); });
  }
  Status verify(const std::string& id, const std::string& state) {
    const auto done = in_store<bool>([&](store::Transaction& tx) -> Result<bool> {
      const Status status = repository::set_verification(tx, id, state, "seen", "alice", instant_from_ms(5));
      if (!status) return status.error();
      return true;
    });
    return done ? Status() : Status(done.error());
  }
  std::uint64_t count(const std::string& result) {
    return metrics_.counter("fleetward_historian_events_total", "", {{"result", result}}).value();
  }
  std::uint64_t letters(const std::string& result) {
    return metrics_.counter("fleetward_historian_letters_total", "", {{"result", result}}).value();
  }
  bool wait(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  metrics::Registry metrics_;
  async::LoopThread loop_{"historian"};
  fs::path dir_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<bus::Bus> bus_;
  std::unique_ptr<Historian> historian_;
  static inline int counter_ = 0;
};

// Times of the tests are now, or they would be pruned for their age.
std::int64_t now_ms() { return to_ms(std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now())); }

TEST_F(HistorianTest, KeepsWhatIsInAlarmUntilItEnds) {
  const std::int64_t now = now_ms();
  append(violation("a", "v1", now));
  append(violation("b", "v2", now + 1));
  ASSERT_TRUE(wait([&] { return count("recorded") == 2; }));
  EXPECT_THAT(ids(active()), ElementsAre("b", "a")) << "newest first";
  append(violation("a", "v1", now + 2, ViolationEventType::alarm_cleared));
  ASSERT_TRUE(wait([&] { return count("recorded") == 3; }));
  EXPECT_THAT(ids(active()), ElementsAre("b"));
  EXPECT_THAT(ids(events()), ElementsAre("a", "b", "a"));
  append(violation("a", "v1", now));  // a detector that crashed publishes it again
  ASSERT_TRUE(wait([&] { return count("repeated") == 1; }));
  EXPECT_THAT(ids(active()), ElementsAre("b")) << "what has ended stays ended";
  restart();
  append(violation("b", "v2", now + 3, ViolationEventType::alarm_invalidated));
  ASSERT_TRUE(wait([&] { return count("recorded") == 4; }));
  EXPECT_THAT(ids(active()), IsEmpty());
  EXPECT_TRUE(historian_->ready().ok());
}

TEST_F(HistorianTest, BuriesWhatItCannotRead) {
  append("v1", "not json");
  append(violation("a", "v1", now_ms()));
  ASSERT_TRUE(wait([&] { return count("recorded") == 1 && count("refused") == 1; }));
  EXPECT_THAT(ids(active()), ElementsAre("a"));
  ASSERT_TRUE(wait([&] { return letters("recorded") == 1; }));
  const auto kept = in_store<std::vector<repository::StoredLetter>>(
      [](store::Transaction& tx) { return repository::list_dead_letters(tx, {}, 10); });
  ASSERT_EQ(kept->size(), 1U);
  const fleet::DeadLetter& letter = kept->front().letter;
  EXPECT_EQ(letter.source, "topic/fleetward.violations");
  EXPECT_EQ(letter.reason, "unreadable");
  EXPECT_EQ(letter.key, "v1");
  EXPECT_EQ(letter.payload, "not json");
  EXPECT_EQ(letter.offset, 0);
}

TEST_F(HistorianTest, KeepsALetterOnceAndPassesOverWhatIsNone) {
  fleet::DeadLetter letter;
  letter.id = "1f";
  letter.source = "mqtt/hall";
  letter.reason = "no-thing";
  letter.received = instant_from_ms(now_ms());
  const std::string text = fleet::to_json_text({"1f", "/test", "t", letter.source, letter.received, to_json(letter)});
  append(letter.source, text, fleet::topic::dead_letters);
  append(letter.source, "not json", fleet::topic::dead_letters);
  append(letter.source, text, fleet::topic::dead_letters);
  ASSERT_TRUE(wait([&] { return letters("repeated") == 1; }));
  EXPECT_EQ(letters("recorded"), 1U);
  EXPECT_EQ(letters("refused"), 1U);
  restart();
  append(letter.source, text, fleet::topic::dead_letters);
  ASSERT_TRUE(wait([&] { return letters("repeated") == 2; }));
  EXPECT_EQ(letters("refused"), 1U) << "what was handled is not read again";
}

TEST_F(HistorianTest, ListsByFilterAndPage) {
  const std::int64_t now = now_ms();
  for (int i = 0; i < 5; ++i) append(violation(fmt::format("id{}", i), i % 2 == 0 ? "even" : "odd", now + i / 2));
  ASSERT_TRUE(wait([&] { return count("recorded") == 5; }));
  EXPECT_THAT(ids(active({.thing = "odd"})), ElementsAre("id3", "id1"));
  EXPECT_THAT(ids(active({.profile = "other"})), IsEmpty());
  EXPECT_THAT(ids(active({.criteria = "STATISTICAL"})), IsEmpty());
  EXPECT_THAT(ids(events({.from = instant_from_ms(now + 1), .until = instant_from_ms(now + 2)})),
              ElementsAre("id3", "id2"));
  std::vector<std::string> all;
  std::optional<repository::ViolationCursor> after;
  do {
    const repository::ViolationPage page = active({}, 2, after);
    for (const std::string& id : ids(page)) all.push_back(id);
    after = page.next;
  } while (after);
  EXPECT_THAT(all, ElementsAre("id4", "id3", "id2", "id1", "id0")) << "no row twice and none left out at equal times";
  EXPECT_EQ(
      *in_store<std::int64_t>([](store::Transaction& tx) { return repository::count_active_violations(tx, "even"); }),
      3);
}

TEST_F(HistorianTest, KeepsWhatPeopleSayOfIt) {
  append(violation("a", "v1", now_ms()));
  ASSERT_TRUE(wait([&] { return count("recorded") == 1; }));
  EXPECT_EQ(active().violations[0].verification_state, "UNKNOWN");
  EXPECT_TRUE(verify("a", "FALSE_POSITIVE").ok());
  EXPECT_TRUE(verify("a", "TRUE_POSITIVE").ok());
  EXPECT_EQ(verify("nothing", "TRUE_POSITIVE").error().code, ErrorCode::not_found);
  EXPECT_EQ(verify("a", "MAYBE").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(active().violations[0].verification_state, "TRUE_POSITIVE");
  EXPECT_EQ(events({.verification_state = "TRUE_POSITIVE"}).violations.size(), 1U);
  EXPECT_THAT(ids(events({.verification_state = "UNKNOWN"})), IsEmpty());
}

TEST_F(HistorianTest, ForgetsOldEventsAndNothingInAlarm) {
  const std::int64_t old = now_ms() - repository::violation_events_kept.count() - 1000;
  append(violation("old", "v1", old));
  ASSERT_TRUE(wait([&] { return count("recorded") == 1; }));
  const auto removed = in_store<std::int64_t>(
      [](store::Transaction& tx) { return repository::prune_violation_events(tx, instant_from_ms(now_ms())); });
  EXPECT_LE(*removed, 1) << "or the historian has removed it by itself";
  EXPECT_THAT(ids(events()), IsEmpty());
  EXPECT_THAT(ids(active()), ElementsAre("old"));
}

}  // namespace
}  // namespace fleetward::historian
