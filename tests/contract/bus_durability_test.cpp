// The embedded bus over kill -9: what was acknowledged is there, once, in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
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

TEST(BusDurability, AReadOnlyBusReadsTheCopyAndWritesNothing) {
  const TempFolder folder;
  metrics::Registry metrics;
  {
    auto bus = bus::open_embedded_bus(folder / "bus.db", metrics);
    ASSERT_TRUE(bus.ok());
    ASSERT_TRUE((*bus)->ensure_topics({{"log", 1, bus::TopicKind::log, Millis(0)}}).ok());
    std::promise<bool> done;
    (*bus)->append({{"log", "k", "v", {}, std::nullopt}}, [&](const auto& r) { done.set_value(r.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  std::filesystem::copy(folder / "bus.db", folder / "copy.db");
  auto copy = bus::open_embedded_bus_read_only(folder / "copy.db", metrics);
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  EXPECT_EQ((*copy)->partition_count("log"), 1);
  std::promise<bool> refused;
  (*copy)->append({{"log", "k", "v", {}, std::nullopt}}, [&](const auto& r) { refused.set_value(!r.ok()); });
  EXPECT_TRUE(refused.get_future().get());
}

}  // namespace
}  // namespace fleetward::contract
