#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "runtime/module.hpp"
#include "runtime/signals.hpp"

namespace fleetward::runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Module recording(std::string name, std::vector<std::string>& events, Status start = {}) {
  return {.name = name,
          .start =
              [name, &events, start] {
                events.push_back("start " + name);
                return start;
              },
          .stop = [name, &events](Millis) { events.push_back("stop " + name); }};
}

TEST(Modules, StartInOrderAndStopInReverse) {
  std::vector<std::string> events;
  Modules modules;
  modules.add(recording("a", events));
  modules.add(recording("b", events));
  EXPECT_FALSE(modules.is_ready());
  ASSERT_TRUE(modules.start_all(Millis(1000)));
  EXPECT_TRUE(modules.is_ready());
  EXPECT_TRUE(modules.stop_all(Millis(1000)));
  EXPECT_FALSE(modules.is_ready());
  EXPECT_THAT(events, ElementsAre("start a", "start b", "stop b", "stop a"));
  EXPECT_TRUE(modules.stop_all(Millis(1000)));
  EXPECT_EQ(events.size(), 4U) << "a second stop does nothing";
}

TEST(Modules, AFailedStartStopsWhatRunsAndNamesTheModule) {
  std::vector<std::string> events;
  Modules modules;
  modules.add(recording("a", events));
  modules.add(recording("b", events, Error(ErrorCode::unavailable, "port is taken")));
  modules.add(recording("c", events));
  const Status started = modules.start_all(Millis(1000));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::unavailable);
  EXPECT_THAT(started.error().message, HasSubstr("start b: port is taken"));
  EXPECT_THAT(events, ElementsAre("start a", "start b", "stop a"));
}

TEST(Modules, OneThatIsNotReadyMakesTheWholeNotReady) {
  std::atomic<bool> caught_up{false};
  Modules modules;
  modules.add({.name = "a", .start = [] { return Status(); }});
  modules.add({.name = "b",
               .start = [] { return Status(); },
               .ready = [&]() -> Status {
                 if (caught_up) return {};
                 return {ErrorCode::unavailable, "reading tables"};
               }});
  ASSERT_TRUE(modules.start_all(Millis(1000)));
  EXPECT_FALSE(modules.is_ready());
  const auto told = modules.readiness();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_TRUE(told[0].ready);
  EXPECT_FALSE(told[1].ready);
  EXPECT_EQ(told[1].reason, "reading tables");
  caught_up = true;
  EXPECT_TRUE(modules.is_ready());
}

TEST(Modules, AStuckStopIsLeftBehindAndTheRestIsStopped) {
  // On the heap and shared: the thread that is left behind uses it after the test's own end otherwise.
  const auto release = std::make_shared<std::promise<void>>();
  const auto wait = std::make_shared<std::shared_future<void>>(release->get_future().share());
  const auto ended = std::make_shared<std::promise<void>>();
  std::vector<std::string> events;
  Modules modules;
  modules.add(recording("a", events));
  modules.add({.name = "stuck",
               .start = [] { return Status(); },
               .stop =
                   [wait, ended](Millis) {
                     wait->wait();
                     ended->set_value();
                   }});
  ASSERT_TRUE(modules.start_all(Millis(1000)));
  EXPECT_FALSE(modules.stop_all(Millis(10)));
  EXPECT_THAT(events, ElementsAre("start a", "stop a"));
  auto gone = ended->get_future();
  release->set_value();
  EXPECT_EQ(gone.wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(Modules, OneThatGaveUpWaitingHasNotEnded) {
  Modules modules;
  modules.add({.name = "a",
               .start = [] { return Status(); },
               .stop = [](Millis limit) { std::this_thread::sleep_for(limit); }});
  ASSERT_TRUE(modules.start_all(Millis(1'000)));
  EXPECT_FALSE(modules.stop_all(Millis(20)));
}

TEST(Signals, ASignalAndARequestEndTheWait) {
  Signals signals;
  EXPECT_EQ(signals.wait_for(Millis(0)), -1);
  ASSERT_EQ(raise(SIGTERM), 0);
  EXPECT_EQ(signals.wait(), SIGTERM);
  ASSERT_EQ(raise(SIGINT), 0);
  EXPECT_EQ(signals.wait(), SIGINT);
  std::thread asker([&] { signals.request_stop(); });
  EXPECT_EQ(signals.wait(), 0);
  asker.join();
}

}  // namespace
}  // namespace fleetward::runtime
