// A bus file that is damaged in one way or the other: all records that are whole come out of it, at their places.
#include "bus/salvage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "bus/log_mark.hpp"
#include "bus/sqlite_storage.hpp"
#include "core/fault.hpp"
#include "sqlite/sqlite.hpp"

namespace fleetward::bus {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t page_bytes = 4096;
constexpr int records = 400;

std::string value_of(int i) {
  // Some are longer than a page.
  return std::string(i % 50 == 7 ? 30'000 : 300, static_cast<char>('a' + i % 26)) + std::to_string(i);
}

class SalvageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "fleetward-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    path_ = (folder_ / "bus.db").string();
    fill(0, records);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void fill(int from, int to) {
    auto storage = open_sqlite_storage(path_);
    ASSERT_TRUE(storage.ok()) << storage.error().message;
    for (const TopicSpec& topic : topics_) ASSERT_TRUE((*storage)->ensure_topic(topic).ok());
    for (int i = from; i < to; ++i) {
      const OutRecord record{"log", "key-" + std::to_string(i % 7), value_of(i), {{"n", std::to_string(i)}}, i % 2};
      std::vector<PlacedRecord> placed{{&record, i % 2, 0}};
      const std::vector<OffsetCommit> offsets{{"readers", "log", 0, i / 2}, {"states", "log", 0, i / 2}};
      ASSERT_TRUE((*storage)->write(placed, offsets, instant_from_ms(i)).ok());
    }
    const OutRecord state{"state", "s", "of a detector", {}, 0};
    std::vector<PlacedRecord> placed{{&state, 0, 0}};
    ASSERT_TRUE((*storage)->write(placed, {}, instant_from_ms(0)).ok());
  }

  std::string read_file() {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write_file(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  // The page that holds these bytes, written over.
  void overwrite_page_of(const std::string& bytes) {
    std::string file = read_file();
    const std::size_t at = file.find(bytes);
    ASSERT_NE(at, std::string::npos);
    file.replace(at / page_bytes * page_bytes, page_bytes, std::string(page_bytes, '\x5a'));
    write_file(file);
  }

  Salvage salvage() {
    const std::string to = (folder_ / "new" / "bus.db").string();
    const auto done = salvage_log(path_, to, {topics_, "state", "states"});
    EXPECT_TRUE(done.ok()) << done.error().message;
    EXPECT_TRUE(examine_log(to).ok());
    auto opened = open_sqlite_storage(to);
    EXPECT_TRUE(opened.ok());
    salvaged_ = std::move(*opened);
    return done.ok() ? *done : Salvage();
  }

  // By SQLite, as whoever opens the file.
  void execute(std::string_view sql) {
    auto db = sqlite::Database::open(path_, sqlite::Database::Mode::read_write_create);
    ASSERT_TRUE(db.ok());
    const Status done = db->execute(sql);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }

  // How many are there; each of them is as it was.
  int count_kept() {
    int kept = 0;
    for (std::int32_t p = 0; p < 2; ++p) {
      const auto some = salvaged_->read("log", p, 0, 10'000, 100 << 20);
      EXPECT_TRUE(some.ok());
      for (const Record& r : *some) {
        const int i = static_cast<int>(r.offset) * 2 + p;
        EXPECT_EQ(r.value, value_of(i));
        EXPECT_EQ(r.append_time, instant_from_ms(i));
        ++kept;
      }
    }
    return kept;
  }

  std::filesystem::path folder_;
  std::string path_;
  std::unique_ptr<Storage> salvaged_;
  const std::vector<TopicSpec> topics_{{"log", 2, TopicKind::log, Millis(0)},
                                       {"state", 1, TopicKind::table, Millis(0)}};
};

TEST_F(SalvageTest, WhatIsWholeIsWhole) {
  EXPECT_TRUE(examine_log(path_).ok());
  const Salvage done = salvage();
  EXPECT_EQ(count_kept(), records);
  EXPECT_EQ(done.lost, 0);
  EXPECT_EQ(salvaged_->bounds("state", 0)->begin, 1) << "state is not taken over, and its offsets do not come again";
  EXPECT_EQ(*salvaged_->committed("readers", "log", 0), records / 2 - 1);
  EXPECT_EQ(*salvaged_->committed("states", "log", 0), std::nullopt);
}

TEST_F(SalvageTest, APageIsLostWithItsRecordsAlone) {
  overwrite_page_of(value_of(100));
  EXPECT_FALSE(open_sqlite_storage(path_).ok());
  EXPECT_FALSE(examine_log(path_).ok());
  const Salvage done = salvage();
  EXPECT_EQ(count_kept() + done.lost, records);
  EXPECT_GE(done.lost, 1);
  EXPECT_LE(done.lost, 15);
  EXPECT_EQ(salvaged_->bounds("log", 0)->end, records / 2);
}

TEST_F(SalvageTest, APartOfALongRecordIsThatRecord) {
  overwrite_page_of(std::string(4'080, value_of(107)[0]));
  const Salvage done = salvage();
  EXPECT_EQ(done.lost, 1);
  EXPECT_EQ(count_kept(), records - 1);
  const auto log =
      std::find_if(done.partitions.begin(), done.partitions.end(), [](const auto& p) { return p.lost > 0; });
  ASSERT_NE(log, done.partitions.end());
  EXPECT_EQ(log->holes.size(), 1U);
}

TEST_F(SalvageTest, WithoutItsFirstPageAFileIsAsGood) {
  write_file(read_file().replace(0, page_bytes, std::string(page_bytes, '\x11')));
  const auto opened = open_sqlite_storage(path_);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::corrupted);
  const Salvage done = salvage();
  EXPECT_EQ(count_kept(), records);
  EXPECT_EQ(done.lost, 0);
  EXPECT_EQ(*salvaged_->committed("readers", "log", 0), std::nullopt) << "who is not known begins at the start";
}

TEST_F(SalvageTest, ACutFileIsToldAndNoOffsetComesAgain) {
  const std::string whole = read_file();
  write_file(whole.substr(0, whole.size() / page_bytes / 2 * page_bytes));
  const auto opened = open_sqlite_storage(path_);
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().message, HasSubstr("cut short"));
  const Salvage done = salvage();
  EXPECT_GT(count_kept(), records / 4);
  for (std::int32_t p = 0; p < 2; ++p) EXPECT_GE(salvaged_->bounds("log", p)->end, records / 2);
  EXPECT_GT(done.lost + done.acknowledged_past_end, 0);
}

TEST_F(SalvageTest, AnOlderCopyIsToldByTheMark) {
  const std::string before = read_file();
  fill(records, records + 10);
  write_file(before);
  const auto opened = open_sqlite_storage(path_);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::corrupted);
  EXPECT_THAT(opened.error().message, HasSubstr("11 records before what it has acknowledged"));
  const Salvage done = salvage();
  EXPECT_EQ(done.acknowledged_past_end, 11);
  EXPECT_EQ(count_kept(), records);
  EXPECT_GE(salvaged_->bounds("log", 0)->end, records / 2 + 11);
}

#ifdef FLEETWARD_FAULT_POINTS
TEST_F(SalvageTest, ALogThatIsBegunAnewIsNotMeasuredByTheOldMark) {
  std::filesystem::remove(path_);
  EXPECT_GT(read_log_mark(path_ + ".mark"), 0);
  const auto die = [this] {
    fault::arm("bus.after_commit");
    fill(0, 1);
  };
  EXPECT_EXIT(die(), ::testing::KilledBySignal(SIGKILL), "");
  const auto opened = open_sqlite_storage(path_);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ((*opened)->bounds("log", 0)->end, 1);
}
#endif

TEST_F(SalvageTest, AnEndThatCannotBeIsNotBelieved) {
  execute("UPDATE ends SET next_offset = 9223372036854775807 WHERE partition = 1");
  const Salvage done = salvage();
  EXPECT_EQ(count_kept(), records);
  EXPECT_EQ(done.lost, 0);
  EXPECT_EQ(salvaged_->bounds("log", 1)->end, records / 2);
}

TEST_F(SalvageTest, ARecordThatCannotBeReadIsToldOfALogThatIsWritten) {
  execute("DROP TABLE log_1_0");
  const Status whole = examine_log(path_, true);
  ASSERT_FALSE(whole.ok());
  EXPECT_THAT(whole.error().message, HasSubstr("log/0"));
}

TEST_F(SalvageTest, AnotherFormatIsNotTakenForWhole) {
  execute("UPDATE meta SET value = 1");
  EXPECT_EQ(examine_log(path_).error().code, ErrorCode::unsupported);
}

TEST_F(SalvageTest, AFileThatIsEmptyIsWhole) {
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + end);
  write_file("");
  EXPECT_TRUE(examine_log(path_).ok());
}

TEST_F(SalvageTest, AChangedRecordIsLeftOutAndCounted) {
  std::string file = read_file();
  const std::size_t at = file.find(value_of(101));
  ASSERT_NE(at, std::string::npos);
  file[at + 5] = '#';
  write_file(file);
  const Status whole = examine_log(path_);
  ASSERT_FALSE(whole.ok());
  EXPECT_THAT(whole.error().message, HasSubstr("1 records are not what was written, the first in log/1 at offset 50"));
  auto opened = open_sqlite_storage(path_);
  ASSERT_TRUE(opened.ok()) << "only reading it all would show it";
  const auto some = (*opened)->read("log", 1, 49, 3, 1 << 20);
  ASSERT_TRUE(some.ok());
  ASSERT_EQ(some->size(), 3U);
  EXPECT_EQ((*some)[1].offset, 51);
  EXPECT_EQ((*opened)->damaged_records(), 1U);
}

}  // namespace
}  // namespace fleetward::bus
