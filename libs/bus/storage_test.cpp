// What single steps of a Storage do, where the bus as a whole would hide it. Over both backends.
#include "bus/storage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "bus/memory_storage.hpp"
#include "bus/sqlite_storage.hpp"

namespace fleetward::bus {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StorageTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) {
      std::string pattern = (std::filesystem::temp_directory_path() / "fleetward-XXXXXX").string();
      folder_ = ::mkdtemp(pattern.data());
      auto opened = open_sqlite_storage((folder_ / "bus.db").string());
      ASSERT_TRUE(opened.ok()) << opened.error().message;
      storage_ = std::move(*opened);
    } else {
      storage_ = make_memory_storage();
    }
    ASSERT_TRUE(storage_->ensure_topic(table_).ok());
    ASSERT_TRUE(storage_->ensure_topic(log_).ok());
  }
  void TearDown() override {
    storage_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  void write(const TopicSpec& topic, const std::string& key, std::optional<std::string> value, std::int64_t at_ms) {
    const OutRecord record{topic.name, key, std::move(value), {}, 0};
    std::vector<PlacedRecord> placed{{&record, 0, 0}};
    ASSERT_TRUE(storage_->write(placed, {}, instant_from_ms(at_ms)).ok());
  }
  CleanStep clean(const TopicSpec& topic, std::int64_t now_ms, std::size_t rows_max) {
    const auto step = storage_->clean(topic, 0, instant_from_ms(now_ms), Millis(1000), rows_max);
    EXPECT_TRUE(step.ok());
    return step.ok() ? *step : CleanStep();
  }
  std::vector<std::int64_t> offsets(const TopicSpec& topic) {
    std::vector<std::int64_t> out;
    const auto records = storage_->read(topic.name, 0, 0, 1000, 1 << 20);
    EXPECT_TRUE(records.ok());
    for (const Record& r : *records) out.push_back(r.offset);
    return out;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Storage> storage_;
  const TopicSpec table_{"table", 1, TopicKind::table, Millis(0)};
  const TopicSpec log_{"log", 1, TopicKind::log, Millis(1000)};
};
INSTANTIATE_TEST_SUITE_P(Backends, StorageTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "sqlite" : "memory"; });

TEST_P(StorageTest, ATombstoneOutlivesTheRecordThatItDeletes) {
  write(table_, "a", "alive", 0);
  clean(table_, 10'000, 1);  // has looked at the record while it was its key's newest
  write(table_, "a", std::nullopt, 0);
  for (int step = 0; step < 6; ++step) {
    clean(table_, 10'000, 1);
    const auto left = offsets(table_);
    ASSERT_FALSE(left == std::vector<std::int64_t>{0}) << "the deleted record has come back";
  }
  EXPECT_THAT(offsets(table_), IsEmpty());
}

TEST_P(StorageTest, YoungRecordsStayThoughTheyAreReplaced) {
  write(table_, "a", "1", 0);
  write(table_, "a", "2", 9'500);
  write(table_, "a", std::nullopt, 9'600);
  for (int step = 0; step < 3; ++step) clean(table_, 10'000, 100);
  EXPECT_THAT(offsets(table_), ElementsAre(1, 2));
}

TEST_P(StorageTest, ExpiryStopsAtTheFirstThatIsYoungAndAtItsLimit) {
  for (const std::int64_t at : {0, 0, 0, 9'500, 0}) write(log_, "a", "x", at);  // the clock went back at the end
  const CleanStep first = clean(log_, 10'000, 2);
  EXPECT_EQ(first.removed, 2);
  EXPECT_TRUE(first.more);
  const CleanStep second = clean(log_, 10'000, 2);
  EXPECT_EQ(second.removed, 1);
  EXPECT_FALSE(second.more);
  EXPECT_THAT(offsets(log_), ElementsAre(3, 4)) << "no hole inside the log";
}

TEST_P(StorageTest, OffsetsGoOnThoughAllIsGone) {
  write(log_, "a", "x", 0);
  clean(log_, 10'000, 10);
  EXPECT_THAT(offsets(log_), IsEmpty());
  const auto bounds = storage_->bounds("log", 0);
  ASSERT_TRUE(bounds.ok());
  EXPECT_EQ(bounds->begin, 1);
  EXPECT_EQ(bounds->end, 1);
  write(log_, "a", "y", 20'000);
  EXPECT_THAT(offsets(log_), ElementsAre(1));
}

TEST_P(StorageTest, AReadIsLimitedButGivesAtLeastOne) {
  for (int i = 0; i < 3; ++i) write(log_, "a", std::string(100, 'x'), 0);
  EXPECT_EQ(storage_->read("log", 0, 0, 10, 1)->size(), 1U);
  EXPECT_EQ(storage_->read("log", 0, 1, 1, 1 << 20)->at(0).offset, 1);
}

}  // namespace
}  // namespace fleetward::bus
