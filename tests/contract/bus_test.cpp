// What every bus promises, over every backend.
#include <gmock/gmock.h>

#include "contract/bus_fixture.hpp"

namespace fleetward::contract {
namespace {

using bus::Position;
using ::testing::ElementsAre;
using ::testing::SizeIs;

INSTANTIATE_TEST_SUITE_P(Backends, BusTest, backends(), name_of);

TEST_P(BusTest, KeepsOrderPerKeyAndReadsFromTheStart) {
  for (int i = 0; i < 50; ++i)
    append({record("log", "a", fmt::format("a{}", i)), record("log", "b", fmt::format("b{}", i))});
  const auto all = read_to_end("log");
  ASSERT_THAT(all, SizeIs(100));
  std::map<std::string, std::vector<std::string>> by_key;
  for (const auto& r : all) {
    by_key[r.key].push_back(*r.value);
    EXPECT_EQ(r.partition, bus::partition_of(r.key, 4));
    EXPECT_EQ(bus::find_header(r.headers, "n"), "v");
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(by_key["a"][static_cast<std::size_t>(i)], fmt::format("a{}", i));
}

TEST_P(BusTest, AppendTellsWhereRecordsAre) {
  EXPECT_THAT(append({record("one", "a", "1"), record("one", "b", "2")}), ElementsAre(Position{0, 0}, Position{0, 1}));
  EXPECT_THAT(append({record("one", "c", "3")}), ElementsAre(Position{0, 2}));
  EXPECT_THAT(append({record("log", "x", "4", 3)}), ElementsAre(Position{3, 0}));
}

TEST_P(BusTest, RefusesUnknownTopicsPartitionsAndHugeRecords) {
  EXPECT_EQ(await(bus::append(*bus_, loop_, {record("nope", "a", "1")})).error().code, ErrorCode::not_found);
  EXPECT_EQ(await(bus::append(*bus_, loop_, {record("one", "a", "1", 1)})).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(
      await(bus::append(*bus_, loop_, {record("one", "a", std::string(bus::record_bytes_max + 1, 'x'))})).error().code,
      ErrorCode::resource_exhausted);
  EXPECT_THAT(read_to_end("one"), SizeIs(0));
}

TEST_P(BusTest, ATopicOfAnotherShapeIsRefused) {
  EXPECT_EQ(bus_->ensure_topics({{name("log"), 8, bus::TopicKind::log, Millis(0)}}).error().code,
            ErrorCode::failed_precondition);
  EXPECT_TRUE(bus_->ensure_topics({{name("log"), 4, bus::TopicKind::log, Millis(0)}}).ok());
}

TEST_P(BusTest, ConsumerGetsAllAndGoesOnFromTheCommittedOffset) {
  for (int i = 0; i < 10; ++i) append({record("log", fmt::format("k{}", i), "v")});
  auto first = subscribe("log", "m1");
  const auto seen = poll_until(*first, [](const auto& r) { return r.records.size() == 10; });
  EXPECT_THAT(seen.assigned, SizeIs(4));
  std::map<std::int32_t, std::int64_t> next;
  for (const auto& r : seen.records) next[r.partition] = r.offset + 1;
  std::vector<Position> offsets;
  for (const auto& [p, o] : next) offsets.push_back({p, o});
  ASSERT_TRUE(await(first->commit(offsets)).ok());
  ASSERT_TRUE(await(first->close()).ok());

  append({record("log", "k0", "new")});
  auto second = subscribe("log", "m2");
  const auto rest = poll_until(*second, [](const auto& r) { return !r.records.empty(); });
  ASSERT_THAT(rest.records, SizeIs(1));
  EXPECT_EQ(rest.records[0].value, "new");
}

TEST_P(BusTest, WhatIsNotCommittedIsDeliveredAgain) {
  append({record("one", "a", "1")});
  auto first = subscribe("one", "m1");
  poll_until(*first, [](const auto& r) { return r.records.size() == 1; });
  first.reset();
  auto second = subscribe("one", "m2");
  const auto again = poll_until(*second, [](const auto& r) { return r.records.size() == 1; });
  EXPECT_EQ(again.records[0].value, "1");
}

TEST_P(BusTest, UnitOfWorkIsRecordsAndOffsetsTogether) {
  append({record("one", "a", "1")});
  auto consumer = subscribe("one", "m1");
  poll_until(*consumer, [](const auto& r) { return r.records.size() == 1; });
  auto work = consumer->begin();
  work->append(record("table", "a", "state"));
  work->set_offset(0, 1);
  EXPECT_THAT(read_to_end("table"), SizeIs(0));
  const auto positions = await(work->commit());
  ASSERT_TRUE(positions.ok());
  EXPECT_THAT(*positions, SizeIs(1));
  EXPECT_THAT(read_to_end("table"), SizeIs(1));
  EXPECT_THAT(committed("one"), ElementsAre(Position{0, 1}));
}

TEST_P(BusTest, APausedOwnerIsFencedAfterItsPartitionWasHandedOver) {
  append({record("one", "a", "1")});
  auto paused = subscribe("one", "m1", brief());
  poll_until(*paused, [](const auto& r) { return r.records.size() == 1; });
  auto work = paused->begin();
  work->append(record("table", "a", "stale"));
  work->set_offset(0, 1);
  // m1 says nothing more; m2 asks until the session time-out has given it the partition.
  auto taker = subscribe("one", "m2");
  const auto taken = poll_until(*taker, [](const auto& r) { return r.records.size() == 1; });
  EXPECT_THAT(taken.assigned, ElementsAre(Position{0, 0}));

  const auto refused = await(work->commit());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::fenced);
  EXPECT_THAT(read_to_end("table"), SizeIs(0));
  EXPECT_THAT(committed("one"), SizeIs(0));

  auto good = taker->begin();
  good->append(record("table", "a", "fresh"));
  good->set_offset(0, 1);
  ASSERT_TRUE(await(good->commit()).ok());
  EXPECT_EQ(read_to_end("table").at(0).value, "fresh");
  const auto told = poll_until(*paused, [](const auto& r) { return !r.lost.empty(); });
  EXPECT_THAT(told.lost, ElementsAre(0));
}

TEST_P(BusTest, AMemberOfTheSameNameTakesOver) {
  append({record("one", "a", "1")});
  auto old = subscribe("one", "same");
  poll_until(*old, [](const auto& r) { return r.records.size() == 1; });
  auto fresh = subscribe("one", "same");
  poll_until(*fresh, [](const auto& r) { return r.records.size() == 1; });
  EXPECT_EQ(await(old->commit({{0, 1}})).error().code, ErrorCode::fenced);
  EXPECT_TRUE(await(fresh->commit({{0, 1}})).ok());
}

TEST_P(BusTest, WhoWasReplacedIsToldAndDoesNotComeBack) {
  auto old = subscribe("one", "same");
  poll_until(*old, [](const auto& r) { return r.assigned.size() == 1; });
  auto fresh = subscribe("one", "same");
  const auto told = poll_until(*old, [](const auto& r) { return !r.lost.empty(); });
  EXPECT_THAT(told.lost, ElementsAre(0));
  const auto refused = await(old->poll(10, Millis(0)));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::fenced);
  poll_until(*fresh, [](const auto& r) { return r.assigned.size() == 1; });
}

TEST_P(BusTest, AMemberThatWasSilentTooLongComesBack) {
  append(
      {record("log", "a", "1", 0), record("log", "a", "2", 1), record("log", "a", "3", 2), record("log", "a", "4", 3)});
  auto late = subscribe("log", "m1", brief());
  poll_until(*late, [](const auto& r) { return r.records.size() == 4; });
  auto taker = subscribe("log", "m2");
  poll_until(*taker, [](const auto& r) { return r.assigned.size() == 4; });
  const auto told = poll_until(*late, [](const auto& r) { return r.lost.size() == 4; });
  EXPECT_THAT(told.lost, SizeIs(4));
  // It takes part again: the other one gives half of them back.
  const auto given = poll_until(*taker, [](const auto& r) { return r.revoked.size() == 2; });
  EXPECT_TRUE(await(taker->poll(10, Millis(0))).ok());
  const auto back = poll_until(*late, [](const auto& r) { return r.assigned.size() == 2 && r.records.size() == 2; });
  std::vector<std::int32_t> partitions;
  for (const auto& p : back.assigned) partitions.push_back(p.partition);
  EXPECT_THAT(partitions, ::testing::UnorderedElementsAreArray(given.revoked));
}

TEST_P(BusTest, WorkBegunUnderAnEarlierOwnershipIsFencedThoughThePartitionCameBack) {
  for (std::int32_t p = 0; p < 4; ++p) append({record("log", "a", "1", p), record("log", "a", "2", p)});
  auto mine = subscribe("log", "m1");
  poll_until(*mine, [](const auto& r) { return r.records.size() == 8; });
  std::vector<std::unique_ptr<bus::UnitOfWork>> stale;
  for (std::int32_t p = 0; p < 4; ++p) {
    stale.push_back(mine->begin());
    stale.back()->append(record("table", "a", "stale"));
    stale.back()->set_offset(p, 1);
  }
  auto other = subscribe("log", "m0");
  const auto told = poll_until(*mine, [](const auto& r) { return r.revoked.size() == 2; });
  ASSERT_TRUE(await(mine->poll(10, Millis(0))).ok());
  poll_until(*other, [](const auto& r) { return r.records.size() == 4; });
  ASSERT_TRUE(await(other->commit({{told.revoked[0], 2}, {told.revoked[1], 2}})).ok());
  ASSERT_TRUE(await(other->close()).ok());
  const auto back = poll_until(*mine, [](const auto& r) { return r.assigned.size() == 2; });
  for (const Position& p : back.assigned) {
    EXPECT_EQ(p.offset, 2);
    const auto refused = await(stale[static_cast<std::size_t>(p.partition)]->commit());
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::fenced);
  }
  EXPECT_THAT(read_to_end("table"), SizeIs(0));
  EXPECT_THAT(committed("log"), ::testing::UnorderedElementsAreArray(back.assigned));
  EXPECT_TRUE(await(mine->commit({{told.revoked[0], 2}})).ok());
}

TEST_P(BusTest, AWaitingMemberTakesOverByItselfWhenTheOwnerFallsSilent) {
  auto silent = subscribe("one", "m1", brief());
  poll_until(*silent, [](const auto& r) { return r.assigned.size() == 1; });
  auto waiting = subscribe("one", "m2", 2 * brief());
  const auto got = poll_until(*waiting, [](const auto& r) { return r.assigned.size() == 1; });
  EXPECT_THAT(got.assigned, ElementsAre(Position{0, 0}));
}

TEST_P(BusTest, WakeEndsAWaitEarlyAndEmpty) {
  auto consumer = subscribe("one", "m1");
  poll_until(*consumer, [](const auto& r) { return r.assigned.size() == 1; });
  for (int i = 0; i < 3; ++i) (void)await(consumer->poll(10, Millis(1)));  // nothing kept from the assignment
  auto later = std::async(std::launch::async, [&] { consumer->wake(); });
  const auto some = await(consumer->poll(10, Millis(3'600'000)));
  later.get();
  ASSERT_TRUE(some.ok());
  EXPECT_THAT(some->records, SizeIs(0));
}

TEST_P(BusTest, CaughtUpIsAboutWhatWasThereAtTheStart) {
  append({record("one", "a", "1"), record("one", "b", "2")});
  auto reader = bus::read_all(*bus_, loop_, name("one"));
  ASSERT_TRUE(reader.ok());
  EXPECT_FALSE((*reader)->caught_up());
  EXPECT_THAT(read_some(**reader, 1), SizeIs(1));
  append({record("one", "c", "3")});
  EXPECT_FALSE((*reader)->caught_up());
  EXPECT_THAT(read_some(**reader, 1), SizeIs(1));
  EXPECT_TRUE((*reader)->caught_up());
  EXPECT_THAT((*reader)->positions(), ElementsAre(Position{0, 2}));
  EXPECT_THAT(read_some(**reader, 10), SizeIs(1));
}

TEST_P(BusTest, RecordsMayHoldAnyBytes) {
  const std::string bytes("\0\xff\n'; --", 8);
  const std::string name_bytes = bytes.substr(1);  // what is no NUL
  append({bus::OutRecord{name("one"), bytes, bytes, {{name_bytes, bytes}, {"", ""}}, {}},
          bus::OutRecord{name("one"), "", "", {}, {}}});
  const auto all = read_to_end("one");
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].key, bytes);
  EXPECT_EQ(all[0].value, bytes);
  EXPECT_THAT(all[0].headers, ElementsAre(bus::Header{name_bytes, bytes}, bus::Header{"", ""}));
  EXPECT_EQ(all[1].value, "") << "empty is not the same as none";
}

TEST_P(BusTest, HandOverIsCooperative) {
  for (int i = 0; i < 40; ++i) append({record("log", fmt::format("k{}", i), "v")});
  auto first = subscribe("log", "m1");
  poll_until(*first, [](const auto& r) { return r.assigned.size() == 4 && r.records.size() == 40; });
  auto second = subscribe("log", "m2");
  // m1 is told to give two up and still owns them: what it has done it can commit before its next poll.
  const auto told = poll_until(*first, [](const auto& r) { return !r.revoked.empty(); });
  ASSERT_THAT(told.revoked, SizeIs(2));
  EXPECT_TRUE(await(first->commit({{told.revoked[0], 1}, {told.revoked[1], 1}})).ok());
  EXPECT_TRUE(await(first->poll(10, Millis(0))).ok());
  const auto got = poll_until(*second, [](const auto& r) { return r.assigned.size() == 2; });
  for (const auto& position : got.assigned) EXPECT_EQ(position.offset, 1) << "it starts where m1 committed";
  EXPECT_EQ(await(first->commit({{told.revoked[0], 5}})).error().code, ErrorCode::fenced);
}

TEST_P(BusTest, AUnitOfWorkWithoutOffsetsIsRefused) {
  auto consumer = subscribe("one", "m1");
  auto work = consumer->begin();
  work->append(record("table", "a", "x"));
  EXPECT_EQ(await(work->commit()).error().code, ErrorCode::invalid_argument);
}

TEST_P(BusTest, PausedPartitionsAreNotRead) {
  append({record("log", "a", "1", 0), record("log", "b", "2", 1)});
  auto consumer = subscribe("log", "m1");
  consumer->pause(0);
  const auto some = poll_until(*consumer, [](const auto& r) { return !r.records.empty(); });
  EXPECT_THAT(some.records, SizeIs(1));
  EXPECT_EQ(some.records[0].partition, 1);
  consumer->resume(0);
  EXPECT_EQ(poll_until(*consumer, [](const auto& r) { return !r.records.empty(); }).records[0].partition, 0);
}

TEST_P(BusTest, AReaderIsWokenByTheCommit) {
  auto reader = bus::read_all(*bus_, loop_, name("one"));
  ASSERT_TRUE(reader.ok());
  EXPECT_THAT(*await((*reader)->poll(10, Millis(0))), SizeIs(0));
  EXPECT_TRUE((*reader)->caught_up());
  auto later = std::async(std::launch::async, [this] {
    bus_->append({record("one", "a", "1")}, [](auto result) { EXPECT_TRUE(result.ok()); });
  });
  EXPECT_THAT(read_some(**reader, 10), SizeIs(1));
  later.get();
}

TEST_P(BusTest, ManyProducersLoseNothing) {
  constexpr int threads = 4;
  constexpr int each = 250;
  std::atomic<int> good{0};
  std::atomic<int> answered{0};
  std::vector<std::thread> producers;
  for (int t = 0; t < threads; ++t) {
    producers.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        bus_->append({record("log", fmt::format("t{}", t), fmt::format("{}", i))}, [&](auto result) {
          good += result.ok() ? 1 : 0;
          ++answered;
        });
      }
    });
  }
  for (auto& p : producers) p.join();
  while (answered < threads * each) std::this_thread::yield();
  EXPECT_EQ(good, threads * each);
  std::map<std::string, int> next;
  for (const auto& r : read_to_end("log")) EXPECT_EQ(*r.value, fmt::format("{}", next[r.key]++));
  for (int t = 0; t < threads; ++t) EXPECT_EQ(next[fmt::format("t{}", t)], each);
}

class TightBusTest : public BusTest {
  void SetUp() override {
    bus::LocalBusOptions options;
    options.queue_bytes_max = 1000;
    options.clean_every = Millis(20);
    options.table_keep = Millis(-3'600'000);  // everything is old enough
    open(options);
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, TightBusTest, backends(), name_of);

TEST_P(TightBusTest, AFullQueueIsToldAndCounted) {
  std::atomic<int> throttled{0};
  std::atomic<int> answered{0};
  async::run_on(loop_, [&] {  // on the memory bus's writer, so that nothing drains meanwhile
    for (int i = 0; i < 100; ++i) {
      bus_->append({record("one", "a", std::string(900, 'x'))}, [&](auto result) {
        throttled += !result.ok() && result.error().code == ErrorCode::throttled ? 1 : 0;
        ++answered;
      });
    }
  });
  while (answered < 100) std::this_thread::yield();
  append({record("one", "b", "x")});
  EXPECT_GT(throttled, 0);
  EXPECT_EQ(read_to_end("one").size(), 101U - static_cast<std::size_t>(throttled));
}

#ifndef FLEETWARD_CONTRACT_KAFKA  // Kafka compacts by itself, when it finds it worth while

TEST_P(TightBusTest, CompactionKeepsTheNewestOfEachKeyAndDropsTombstones) {
  for (int i = 0; i < 5; ++i) append({record("table", "a", fmt::format("{}", i), 0), record("table", "b", "x", 0)});
  append({bus::OutRecord{name("table"), "b", std::nullopt, {}, 0}});
  std::vector<bus::Record> left;
  for (int i = 0; i < 400; ++i) {
    left = read_to_end("table");
    if (left.size() == 1) break;
    (void)await(scope_.sleep(Millis(10)));  // the cleaner runs on its own timer
  }
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].key, "a");
  EXPECT_EQ(left[0].value, "4");
  EXPECT_EQ(append({record("table", "c", "x", 0)})[0].offset, 11) << "offsets never come again";
}

TEST_P(TightBusTest, ATombstoneStaysWhileAnOlderRecordOfItsKeyCouldComeBack) {
  // Whatever the steps of compaction are cut at, a reader must never see the key alive again once it was deleted.
  append({record("table", "gone", "x", 0)});
  append({bus::OutRecord{name("table"), "gone", std::nullopt, {}, 0}});
  append({record("table", "kept", "y", 0)});
  std::vector<bus::Record> left;
  for (int i = 0; i < 400; ++i) {
    left = read_to_end("table");
    std::map<std::string, std::optional<std::string>> state;
    for (const auto& r : left) state[r.key] = r.value;
    ASSERT_FALSE(state.contains("gone") && state["gone"].has_value());
    if (left.size() == 1) break;
    (void)await(scope_.sleep(Millis(5)));
  }
  ASSERT_THAT(left, SizeIs(1));
  EXPECT_EQ(left[0].key, "kept");
}

#endif

class ShortLogTest : public BusTest {
  void SetUp() override {
    bus::LocalBusOptions options;
    options.clean_every = Millis(20);
    open(options);
    ASSERT_TRUE(bus_->ensure_topics({{name("short"), 1, bus::TopicKind::log, Millis(200)}}).ok());
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, ShortLogTest, backends(), name_of);

TEST_P(ShortLogTest, RetentionTakesTheOldestAndReadersGoOn) {
  std::vector<bus::OutRecord> many;
  for (int i = 0; i < 2500; ++i) many.push_back(record("short", "k", fmt::format("{}", i)));  // more than one step
  append(std::move(many));
  append({record("one", "k", "kept for ever")});
  auto consumer = subscribe("short", "m1");
  std::int64_t begin = 0;
  for (int i = 0; i < 1000 && begin < 2500; ++i) {
    const auto ranges = await(bus_->ranges(loop_, name("short")));
    ASSERT_TRUE(ranges.ok());
    begin = ranges->at(0).begin;
    EXPECT_EQ(ranges->at(0).end, 2500);
    (void)await(scope_.sleep(Millis(10)));  // the cleaner runs on its own timer
  }
  EXPECT_EQ(begin, 2500);
  EXPECT_THAT(read_to_end("short"), SizeIs(0));
  EXPECT_THAT(read_to_end("one"), SizeIs(1));
  auto late = bus_->read(loop_, name("short"), {{0, 7}});
  ASSERT_TRUE(late.ok());
  EXPECT_THAT(*await((*late)->poll(10, Millis(0))), SizeIs(0));
  EXPECT_THAT((*late)->positions(), ElementsAre(Position{0, 2500})) << "it starts at the first that is there";
  EXPECT_THAT(append({record("short", "k", "next")}), ElementsAre(Position{0, 2500}));
}

TEST(Partitioner, AgreesWithKafka) {
  // From Kafka's own test of Utils.murmur2, as partitions of 2^31 (its value with the sign bit off).
  const auto hash = [](std::string_view key) {
    return bus::partition_of(key, std::numeric_limits<std::int32_t>::max());
  };
  EXPECT_EQ(hash("21"), -973932308 & 0x7fffffff);
  EXPECT_EQ(hash("foobar"), -790332482 & 0x7fffffff);
  EXPECT_EQ(hash("a-little-bit-long-string"), -985981536 & 0x7fffffff);
  EXPECT_EQ(hash("a-little-bit-longer-string"), -1486304829 & 0x7fffffff);
  EXPECT_EQ(hash("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"), -58897971 & 0x7fffffff);
  EXPECT_EQ(hash("abc"), 479470107);
}

}  // namespace
}  // namespace fleetward::contract
