#include "repository/dead_letter_repository.hpp"

#include <gmock/gmock.h>

#include "repository/store_fixture.hpp"

namespace fleetward::repository {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Instant t0 = instant_from_ms(1'800'000'000'000);

fleet::DeadLetter letter(const std::string& id, Instant received = t0, const std::string& source = "kafka/plant") {
  fleet::DeadLetter l;
  l.id = id;
  l.source = source;
  l.reason = "bad-payload";
  l.why = "no JSON";
  l.topic = "t";
  l.key = std::string("k\0\xFF", 3);
  l.partition = 3;
  l.offset = 9;
  l.headers = {{"a", "b"}};
  l.payload = std::string("\x00\xFE", 2);
  l.payload_bytes = 2;
  l.received = received;
  return l;
}

class DeadLetterTest : public StoreFixture<> {
 protected:
  void record(const fleet::DeadLetter& l) {
    ASSERT_TRUE(in_store<bool>([&](store::Transaction& tx) { return record_dead_letter(tx, l); }).ok());
  }
  std::vector<std::string> ids(const LetterFilter& filter = {}, std::int64_t limit = 10,
                               std::optional<LetterCursor> after = {}) {
    std::vector<std::string> out;
    const auto all = in_store<std::vector<StoredLetter>>(
        [&](store::Transaction& tx) { return list_dead_letters(tx, filter, limit, after); });
    EXPECT_TRUE(all.ok());
    for (const StoredLetter& one : *all) out.push_back(one.letter.id);
    return out;
  }
  Result<StoredLetter> get(const std::string& id) {
    return in_store<StoredLetter>([&](store::Transaction& tx) { return get_dead_letter(tx, id); });
  }
  Result<StoredLetter> ask(const std::string& id, const std::string& actor = "ann", Instant now = t0) {
    return in_store<StoredLetter>([&](store::Transaction& tx) { return ask_for_replay(tx, id, actor, now); });
  }
  std::size_t waiting(const std::vector<std::string>& sources) {
    return in_store<std::vector<StoredLetter>>([&](store::Transaction& tx) { return waiting_replays(tx, sources, 10); })
        ->size();
  }
  void note(const std::string& id, std::string_view state, const std::string& why = "") {
    ASSERT_TRUE(change([&](store::Transaction& tx) { return note_replay(tx, id, state, why, t0); }).ok());
  }
};

TEST_F(DeadLetterTest, IsKeptOnceAndAsItCame) {
  record(letter("1"));
  EXPECT_FALSE(*in_store<bool>([](store::Transaction& tx) { return record_dead_letter(tx, letter("1")); }));
  EXPECT_EQ(get("1")->letter, letter("1"));
  EXPECT_EQ(get("2").error().code, ErrorCode::not_found);
}

TEST_F(DeadLetterTest, ListsPageNewestFirst) {
  record(letter("1", t0));
  record(letter("2", t0 + Millis(1)));
  record(letter("3", t0 + Millis(1), "mqtt/hall"));
  EXPECT_THAT(ids(), ElementsAre("3", "2", "1"));
  EXPECT_THAT(ids({}, 2), ElementsAre("3", "2"));
  EXPECT_THAT(ids({}, 2, LetterCursor{to_ms(t0) + 1, "2"}), ElementsAre("1"));
  EXPECT_THAT(ids({.source = "mqtt/hall"}), ElementsAre("3"));
  EXPECT_THAT(ids({.reason = "no-thing"}), IsEmpty());
}

TEST_F(DeadLetterTest, AReplayIsAskedForOnceDoneOnceAndCounted) {
  record(letter("1"));
  EXPECT_EQ(waiting({"kafka/plant"}), 0U);
  EXPECT_EQ(ask("1")->replay, "waiting");
  EXPECT_EQ(ask("1", "bob")->replay_by, "ann") << "it waits already";
  EXPECT_EQ(waiting({"mqtt/hall"}), 0U) << "another collector's";
  EXPECT_EQ(waiting({"mqtt/hall", "kafka/plant"}), 1U);
  note("1", "taken");
  note("1", "taken");
  EXPECT_EQ(get("1")->replays, 1);
  EXPECT_EQ(ask("1")->replay, "taken") << "what was taken is not sent again";
  EXPECT_EQ(waiting({"kafka/plant"}), 0U);
  EXPECT_THAT(ids({.replay = "taken"}), ElementsAre("1"));
}

TEST_F(DeadLetterTest, AReplayThatFailedMayBeAskedForAgain) {
  record(letter("1"));
  ASSERT_TRUE(ask("1").ok());
  note("1", "bad-payload", "still no JSON");
  EXPECT_EQ(get("1")->replay_why, "still no JSON");
  EXPECT_EQ(ask("1")->replay, "waiting");
  note("1", "taken");
  EXPECT_EQ(get("1")->replays, 2);
}

TEST_F(DeadLetterTest, WhatIsNotWholeOrNoSourcesMessageIsNotReplayed) {
  auto cut = letter("1");
  cut.cut = true;
  record(cut);
  record(letter("2", t0, "topic/fleetward.violations"));
  EXPECT_THAT(ask("1").error().message, HasSubstr("too long"));
  EXPECT_THAT(ask("2").error().message, HasSubstr("only messages of a collector's sources"));
}

TEST_F(DeadLetterTest, OldOnesAndTheOldestOfTooManyAreForgotten) {
  record(letter("1", t0 - dead_letters_kept - Millis(1)));
  for (int i = 2; i <= 5; ++i) record(letter(std::to_string(i), t0 + Millis(i)));
  const auto prune = [&](std::int64_t rows_max, std::int64_t keep_max) {
    return *in_store<std::int64_t>(
        [&](store::Transaction& tx) { return prune_dead_letters(tx, t0, rows_max, keep_max); });
  };
  EXPECT_EQ(prune(10, 10), 1);
  EXPECT_EQ(prune(1, 2), 1);
  EXPECT_EQ(prune(10, 2), 1);
  EXPECT_THAT(ids(), ElementsAre("5", "4"));
}

}  // namespace
}  // namespace fleetward::repository
