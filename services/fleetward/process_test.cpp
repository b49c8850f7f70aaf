// The whole server in one process on a data folder of its own: starts, is ready, stops, starts again.
#include "services/fleetward/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"

namespace fleetward::program {
namespace {

using testing::HasSubstr;

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() : folder_(testing::TempDir() + "process_" + std::to_string(::getpid())) {
    std::filesystem::remove_all(folder_);
    settings_.installation.data_dir = folder_;
    settings_.installation.stop_limit = Millis(10'000);
    settings_.gateway.address = "127.0.0.1";
    settings_.gateway.port = 0;
    settings_.api.port = 0;
    settings_.pki.port = 0;
    settings_.operations.port = 0;
    for (const Role& role : all_roles()) roles_.emplace_back(role.name);
  }
  ~ProcessTest() override { std::filesystem::remove_all(folder_); }

  void init() {
    std::ostringstream out;
    std::ostringstream err;
    const Connect none = [](const Invocation&) -> Result<std::unique_ptr<ApiClient>> {
      return Error(ErrorCode::unavailable, "no server in this test");
    };
    ASSERT_EQ(run_program(all_commands(), {"init", "--data-dir", folder_}, {}, none, out, err), ExitCode::ok)
        << err.str();
  }

  static bool wait_until_ready(const Process& process) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!process.is_ready()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      usleep(10'000);
    }
    return true;
  }

  std::string folder_;
  Settings settings_;
  std::vector<std::string> roles_;
};

TEST_F(ProcessTest, StartsIsReadyStopsAndStartsAgainOnTheSameData) {
  init();
  for (int start = 1; start <= 2; ++start) {
    Process process(settings_);
    const Status started = process.start(roles_);
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_TRUE(wait_until_ready(process)) << start;
    EXPECT_TRUE(process.stop());
  }
}

TEST_F(ProcessTest, OneProcessAtATimeOnAFolder) {
  init();
  Process first(settings_);
  ASSERT_TRUE(first.start(roles_));
  Process second(settings_);
  const Status started = second.start(roles_);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr(std::to_string(::getpid()))) << "it names who holds the folder";
  EXPECT_TRUE(first.stop());
}

TEST_F(ProcessTest, WithoutInitItSaysWhatToDo) {
  Process process(settings_);
  const Status started = process.start(roles_);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("fleetward init"));
}

TEST_F(ProcessTest, AnotherPartitionCountIsRefused) {
  init();
  {
    Process process(settings_);
    ASSERT_TRUE(process.start(roles_));
    EXPECT_TRUE(process.stop());
  }
  settings_.installation.partitions = 8;
  Process process(settings_);
  EXPECT_FALSE(process.start(roles_));
}

}  // namespace
}  // namespace fleetward::program
