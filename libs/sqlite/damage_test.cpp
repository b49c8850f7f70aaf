// Damage of a file or of its write-ahead log is seen before SQLite takes it in.
#include "sqlite/damage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "sqlite/raw_file.hpp"
#include "sqlite/sqlite.hpp"
#include "sqlite/wal.hpp"

namespace fleetward::sqlite {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t page = 4096;
constexpr std::size_t frame = page + 24;
constexpr std::uint64_t all = std::uint64_t{1} << 40;

class DamageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "fleetward-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    path_ = (folder_ / "a.db").string();
    auto db = Database::open(path_, Database::Mode::read_write_create);
    ASSERT_TRUE(db.ok());
    ASSERT_TRUE(db->execute("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)").ok());
    for (int i = 0; i < rows; ++i) {
      const std::string text(i % 20 == 3 ? 10'000 : 200, static_cast<char>('a' + i % 26));
      ASSERT_TRUE(db->execute(fmt::format("INSERT INTO t VALUES({}, '{}')", i, text)).ok());
    }
    // As a process that is killed leaves them.
    std::filesystem::create_directory(folder_ / "killed");
    std::filesystem::copy_file(path_, killed());
    std::filesystem::copy_file(path_ + "-wal", killed() + "-wal");
    log_ = read(killed() + "-wal");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string killed() const { return (folder_ / "killed" / "a.db").string(); }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  void take_log_in() { ASSERT_TRUE(Database::open(killed(), Database::Mode::read_write_create).ok()); }

  static constexpr int rows = 60;
  std::filesystem::path folder_;
  std::string path_;
  std::string log_;  // as it was left
};

TEST_F(DamageTest, WhatIsWholeOrNotThereIsWhole) {
  EXPECT_TRUE(check_whole(killed(), all).ok());
  EXPECT_TRUE(check_whole((folder_ / "nothing.db").string(), all).ok());
  const auto wal = read_wal(killed());
  ASSERT_TRUE(wal.ok());
  EXPECT_EQ(wal->whole, wal->frames.size());
  EXPECT_GT(wal->whole, 60U);
  take_log_in();
  EXPECT_TRUE(check_whole(killed(), all).ok());
}

TEST_F(DamageTest, ALogThatIsDamagedInItsMidstIsTold) {
  for (const std::size_t where : {std::size_t{5}, 32 + 3 * frame + 100, 32 + 10 * frame + 10}) {
    std::string log = log_;
    log[where] = static_cast<char>(log[where] ^ 1);
    write(killed() + "-wal", log);
    const auto wal = read_wal(killed());
    ASSERT_TRUE(wal.ok());
    EXPECT_TRUE(wal->is_damaged()) << where;
    EXPECT_EQ(wal->whole, where < 32 ? 0 : where / frame);
    const Status whole = check_whole(killed(), all);
    ASSERT_FALSE(whole.ok());
    EXPECT_EQ(whole.error().code, ErrorCode::corrupted);
    EXPECT_THAT(whole.error().message, HasSubstr("write-ahead log is damaged"));
  }
}

TEST_F(DamageTest, ALastTransactionThatWasCutOffIsNone) {
  std::string log = log_;
  log[log.size() - 10] = static_cast<char>(log[log.size() - 10] ^ 1);
  write(killed() + "-wal", log);
  EXPECT_TRUE(check_whole(killed(), all).ok()) << "it was never said to be kept";
  write(killed() + "-wal", log.substr(0, log.size() - 1'000));
  EXPECT_TRUE(check_whole(killed(), all).ok());
}

TEST_F(DamageTest, AFileThatIsCutOrOverwrittenIsTold) {
  take_log_in();
  const std::string file = read(killed());
  write(killed(), file.substr(0, file.size() / 2));
  EXPECT_THAT(check_whole(killed(), 0).error().message, HasSubstr("cut short")) << "however large it is";
  write(killed(), std::string(file).replace(2 * page, page, std::string(page, 'x')));
  EXPECT_EQ(check_whole(killed(), all).error().code, ErrorCode::corrupted);
  write(killed(), "short");
  EXPECT_EQ(check_whole(killed(), all).error().code, ErrorCode::corrupted);
}

std::set<std::int64_t> ids(const std::string& path, std::size_t length) {
  std::set<std::int64_t> out;
  auto raw = RawFile::open(path);
  EXPECT_TRUE(raw.ok());
  raw->for_each_row([&](const RawRow& row) {
    const auto* text = row.columns.size() == 2 ? std::get_if<std::string>(&row.columns[1]) : nullptr;
    if (text == nullptr || text->size() != length || text->find_first_not_of(text->front()) != std::string::npos)
      return false;
    out.insert(row.rowid);
    return true;
  });
  return out;
}

TEST_F(DamageTest, RowsAreFoundInFileAndLog) {
  EXPECT_EQ(ids(killed(), 200).size(), 57U);
  EXPECT_EQ(ids(killed(), 10'000), (std::set<std::int64_t>{3, 23, 43}));
  take_log_in();
  write(killed(), read(killed()).replace(0, page, std::string(page, '\0')));
  EXPECT_EQ(ids(killed(), 200).size(), 57U);
  EXPECT_EQ(ids(killed(), 10'000).size(), 3U);
}

TEST_F(DamageTest, NoiseIsNoRow) {
  std::string noise(64 * page, '\0');
  std::uint32_t x = 1;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    x = x * 1'664'525 + 1'013'904'223;
    noise[i] = i % page == 0 ? '\x0d' : static_cast<char>(x >> 24);
  }
  write(killed(), noise);
  std::filesystem::remove(killed() + "-wal");
  EXPECT_TRUE(ids(killed(), 200).empty());
}

}  // namespace
}  // namespace fleetward::sqlite
