// The embedded bus over kill -9: what was acknowledged is there, once, in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>

#include "bus/embedded_bus.hpp"
#include "bus/sqlite_storage.hpp"
#include "contract/temp_folder.hpp"

namespace fleetward::contract {
namespace {

// Appends numbered records until it is killed, and writes the number of each acknowledged one to `out`.
[[noreturn]] void append_for_ever(const std::string& path, int out, std::int64_t first) {
  metrics::Registry metrics;
  auto bus = bus::open_embedded_bus(path, metrics);
  if (!bus.ok() || !(*bus)->ensure_topics({{"log", 1, bus::TopicKind::log, Millis(0)}}).ok()) _exit(1);
  std::atomic<std::int64_t> open{0};
  for (std::int64_t n = first;; ++n) {
    while (open > 64) std::this_thread::yield();
    ++open;
    (*bus)->append({{"log", "k", std::to_string(n), {}, std::nullopt}}, [out, n, &open](const auto& result) {
      if (!result.ok() || ::write(out, &n, sizeof n) != sizeof n) _exit(2);
      --open;
    });
  }
}

TEST(BusDurability, AcknowledgedRecordsSurviveKillNineOnce) {
  const TempFolder folder;
  const std::string path = folder / "bus.db";
  std::int64_t first = 0;
  std::set<std::int64_t> acknowledged;
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::close(pipe_ends[0]);
      append_for_ever(path, pipe_ends[1], first);
    }
    ::close(pipe_ends[1]);
    // Killed after a number of acknowledgements that differs each round: at another point of another commit.
    std::int64_t n = 0;
    for (int i = 0; i < 200 + round * 137 && ::read(pipe_ends[0], &n, sizeof n) == sizeof n; ++i)
      acknowledged.insert(n);
    ::kill(child, SIGKILL);
    while (::read(pipe_ends[0], &n, sizeof n) == sizeof n) acknowledged.insert(n);
    ::close(pipe_ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself with " << status;
    first = 1'000'000 * (round + 1);
  }

  auto storage = bus::open_sqlite_storage(path);
  ASSERT_TRUE(storage.ok()) << storage.error().message;
  const auto records = (*storage)->read("log", 0, 0, 1'000'000, 1 << 30);
  ASSERT_TRUE(records.ok());
  std::map<std::int64_t, int> found;
  std::int64_t offset = 0;
  std::int64_t last = -1;
  for (const auto& r : *records) {
    EXPECT_EQ(r.offset, offset++) << "no holes";
    const std::int64_t n = std::stoll(*r.value);
    EXPECT_GT(n, last) << "in order of append";
    last = n;
    ++found[n];
  }
  ASSERT_GT(acknowledged.size(), 1000U);
  for (const std::int64_t n : acknowledged) EXPECT_EQ(found[n], 1) << n;
}

TEST(BusDurability, ASecondProcessIsKeptOut) {
  const TempFolder folder;
  metrics::Registry metrics;
  auto first = bus::open_embedded_bus(folder / "bus.db", metrics);
  ASSERT_TRUE(first.ok());
  const auto second = bus::open_embedded_bus(folder / "bus.db", metrics);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::failed_precondition);
  EXPECT_THAT(second.error().message, ::testing::HasSubstr(std::to_string(::getpid())));
}

TEST(BusDurability, ADamagedFileIsToldNotUsed) {
  const TempFolder folder;
  std::ofstream(folder / "bus.db") << std::string(8192, 'x');
  metrics::Registry metrics;
  const auto opened = bus::open_embedded_bus(folder / "bus.db", metrics);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::corrupted) << opened.error().message;
}

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

bool append_one(bus::Bus& bus, const std::string& value) {
  std::promise<bool> done;
  bus.append({{"log", "k", value, {}, std::nullopt}}, [&](const auto& r) { done.set_value(r.ok()); });
  return done.get_future().get();
}

void expect_copy_reads(const std::string& path, const std::vector<std::string>& values) {
  const auto folder = std::filesystem::path(path).parent_path();
  const auto before = names_in(folder);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  metrics::Registry metrics;
  async::LoopThread loop("test");
  auto copy = bus::open_embedded_bus_read_only(path, metrics);
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  EXPECT_EQ((*copy)->partition_count("log"), 1);
  EXPECT_FALSE(append_one(**copy, "refused"));
  EXPECT_EQ(names_in(folder), before) << "nothing appears beside it while it is read";
  copy->reset();
  auto storage = bus::open_sqlite_storage_read_only(path);
  ASSERT_TRUE(storage.ok());
  const auto records = (*storage)->read("log", 0, 0, 100, 1 << 20);
  ASSERT_TRUE(records.ok()) << records.error().message;
  std::vector<std::string> found;
  for (const auto& r : *records) found.push_back(*r.value);
  EXPECT_EQ(found, values);
  storage->reset();
  EXPECT_EQ(names_in(folder), before);
}

TEST(BusDurability, AReadOnlyBusReadsTheCopyAndWritesNothing) {
  const TempFolder folder;
  const TempFolder copies;
  metrics::Registry metrics;
  {
    auto bus = bus::open_embedded_bus(folder / "bus.db", metrics);
    ASSERT_TRUE(bus.ok());
    ASSERT_TRUE((*bus)->ensure_topics({{"log", 1, bus::TopicKind::log, Millis(0)}}).ok());
    ASSERT_TRUE(append_one(**bus, "v"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "bus.db-wal")) << "a clean stop leaves all in the one file";
  std::filesystem::copy(folder / "bus.db", copies / "a copy?.db");
  expect_copy_reads(copies / "a copy?.db", {"v"});
}

TEST(BusDurability, ACopyWithItsWriteAheadLogReadsWhole) {
  const TempFolder folder;
  const TempFolder copies;
  metrics::Registry metrics;
  auto bus = bus::open_embedded_bus(folder / "bus.db", metrics);
  ASSERT_TRUE(bus.ok());
  ASSERT_TRUE((*bus)->ensure_topics({{"log", 1, bus::TopicKind::log, Millis(0)}}).ok());
  ASSERT_TRUE(append_one(**bus, "a"));
  ASSERT_TRUE(append_one(**bus, "b"));
  std::filesystem::copy(folder / "bus.db", copies / "copy.db");  // as after kill -9: nothing was folded in
  std::filesystem::copy(folder / "bus.db-wal", copies / "copy.db-wal");
  expect_copy_reads(copies / "copy.db", {"a", "b"});
}

// The disk refuses writes (a limit on file sizes stands for one that is full): nothing acknowledged is lost, nothing
// refused is there, and it goes on when there is space again.
TEST(BusDurability, AFullDiskIsRetryableAndPasses) {
  const TempFolder folder;
  metrics::Registry metrics;
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  {
    auto bus = bus::open_embedded_bus(folder / "bus.db", metrics);
    ASSERT_TRUE(bus.ok());
    ASSERT_TRUE((*bus)->ensure_topics({{"log", 1, bus::TopicKind::log, Millis(0)}}).ok());
    ASSERT_TRUE(append_one(**bus, "before"));
    const auto append_large = [&] {
      std::promise<Status> done;
      (*bus)->append({{"log", "k", std::string(500'000, 'x'), {}, std::nullopt}},
                     [&](const auto& r) { done.set_value(r.ok() ? Status() : Status(r.error())); });
      return done.get_future().get();
    };
    const rlimit tight{100'000, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const Status first = append_large();
    const Status second = append_large();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    ASSERT_FALSE(first.ok());
    ASSERT_FALSE(second.ok());
    EXPECT_TRUE(is_retryable(first.error().code)) << to_string(first.error());
    EXPECT_TRUE(is_retryable(second.error().code)) << to_string(second.error());
    EXPECT_TRUE(append_one(**bus, "after"));
  }
  auto storage = bus::open_sqlite_storage(folder / "bus.db");
  ASSERT_TRUE(storage.ok());
  const auto records = (*storage)->read("log", 0, 0, 100, 1 << 30);
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 2U);
  EXPECT_EQ(records->at(0).value, "before");
  EXPECT_EQ(records->at(1).value, "after");
  EXPECT_EQ(records->at(1).offset, 1) << "no hole where the refused ones would have been";
}

}  // namespace
}  // namespace fleetward::contract
