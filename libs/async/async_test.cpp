#include <gtest/gtest.h>

#include "async/scope.hpp"

namespace fleetward::async {
namespace {

Task<void> wait_for(Event& event, Millis limit, int& notified, int& expired) {
  const bool by_event = co_await event.wait(limit);
  ++(by_event ? notified : expired);
}

TEST(VirtualScheduler, RunsTimersInOrderOfTime) {
  VirtualScheduler scheduler(instant_from_ms(1000));
  std::string order;
  scheduler.call_after(Millis(20), [&] { order += 'b'; });
  scheduler.call_after(Millis(10), [&] { order += 'a'; });
  const TimerId taken_back = scheduler.call_after(Millis(15), [&] { order += 'x'; });
  scheduler.cancel(taken_back);
  scheduler.run_for(Millis(19));
  EXPECT_EQ(order, "a");
  EXPECT_EQ(scheduler.now(), instant_from_ms(1019));
  scheduler.run_for(Millis(1));
  EXPECT_EQ(order, "ab");
}

TEST(Event, WakesAllWaitersOrExpires) {
  VirtualScheduler scheduler(instant_from_ms(0));
  Scope scope(scheduler, "test");
  Event event(scheduler);
  int notified = 0;
  int expired = 0;
  scope.spawn("a", wait_for(event, Millis(100), notified, expired));
  scope.spawn("b", wait_for(event, Millis(300), notified, expired));
  scheduler.run_for(Millis(150));
  EXPECT_EQ(expired, 1);
  event.notify();
  scheduler.run_ready();
  EXPECT_EQ(notified, 1);
  EXPECT_EQ(scope.running(), 0U);
  event.notify();  // kept for the next wait
  scheduler.run_ready();
  scope.spawn("c", wait_for(event, Millis(100), notified, expired));
  scheduler.run_ready();
  EXPECT_EQ(notified, 2);
}

Task<void> sleep_long(Scope& scope, bool& cut_short) {
  const bool whole = co_await scope.sleep(std::chrono::hours(1));
  cut_short = !whole;
}

TEST(Scope, StopEndsSleepsOnARealThread) {
  LoopThread loop("test");
  Scope scope(loop, "test");
  bool cut_short = false;
  scope.spawn("sleeper", sleep_long(scope, cut_short));
  EXPECT_FALSE(scope.join(Millis(20)));
  scope.request_stop();
  EXPECT_TRUE(scope.join(std::chrono::seconds(10)));
  EXPECT_TRUE(cut_short);
}

TEST(Scope, SeveralSleepersAreAllWoken) {
  VirtualScheduler scheduler(instant_from_ms(0));
  Scope scope(scheduler, "test");
  bool a = false;
  bool b = false;
  scope.spawn("a", sleep_long(scope, a));
  scope.spawn("b", sleep_long(scope, b));
  scheduler.run_ready();
  scope.request_stop();
  scheduler.run_ready();
  EXPECT_TRUE(a && b);
}

Task<void> hold_while_waiting(Event& event, std::shared_ptr<int> held) {
  co_await event.wait(std::chrono::hours(1));
  ++*held;
}

TEST(Event, WhoWaitsIsGivenUpWithIt) {
  VirtualScheduler scheduler(instant_from_ms(0));
  Scope scope(scheduler, "test");
  auto event = std::make_unique<Event>(scheduler);
  const auto held = std::make_shared<int>(0);
  scope.spawn("waits", hold_while_waiting(*event, held));
  scheduler.run_ready();
  EXPECT_EQ(held.use_count(), 2);
  event.reset();
  scheduler.run_for(std::chrono::hours(2));
  EXPECT_EQ(held.use_count(), 1) << "its frame is gone";
  EXPECT_EQ(*held, 0);
}

TEST(VirtualScheduler, RunOnRunsAtOnce) {
  VirtualScheduler scheduler(instant_from_ms(0));
  bool ran = false;
  run_on(scheduler, [&ran] { ran = true; });
  EXPECT_TRUE(ran);
}

Task<void> add(Scheduler& scheduler, std::thread& other, int& sum) {
  std::function<void(std::function<void(int)>)> start = [&other](std::function<void(int)> done) {
    other = std::thread([done] { done(5); });
  };
  const int value = co_await from_callback<int>(scheduler, start);
  sum += value;
}

TEST(FromCallback, ComesBackToTheSchedulersThread) {
  LoopThread loop("test");
  Scope scope(loop, "test");
  int sum = 0;
  std::thread other;
  scope.spawn("add", add(loop, other, sum));
  EXPECT_TRUE(scope.join(std::chrono::seconds(10)));
  EXPECT_EQ(sum, 5);
  other.join();  // it may be within the loop's post() still, which must outlive that
}

}  // namespace
}  // namespace fleetward::async
