// The whole server in one process on a data folder of its own: starts, is ready, stops, starts again.
#include "services/fleetward/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <map>
#include <sstream>

#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/outbox.hpp"
#include "repository/registry_repository.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/commands.hpp"
#include "services/fleetward/lost_half.hpp"
#include "services/fleetward/ports.hpp"
#include "store/run_and_wait.hpp"

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
    roles_ = roles_for(settings_);
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

TEST_F(ProcessTest, ATakenPortIsNamedWithItsHolder) {
  init();
  for (const char* section : {"gateway", "api", "pki", "operations"}) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), size), 0);
    ASSERT_EQ(::listen(fd, 1), 0);
    ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
    Settings settings = settings_;
    const std::map<std::string_view, std::int64_t*> ports{{"gateway", &settings.gateway.port},
                                                          {"api", &settings.api.port},
                                                          {"pki", &settings.pki.port},
                                                          {"operations", &settings.operations.port}};
    *ports.at(section) = ntohs(at.sin_port);
    Process process(settings);
    const Status started = process.start(roles_, {.ports_limit = Millis(300)});
    ::close(fd);
    ASSERT_FALSE(started) << section;
    EXPECT_THAT(started.error().message,
                HasSubstr(fmt::format("{}.port: cannot listen on 127.0.0.1:{}", section, ntohs(at.sin_port))));
    EXPECT_THAT(started.error().message, HasSubstr(fmt::format("process {} (", ::getpid())));
  }
}

TEST_F(ProcessTest, AnAddressOfAnotherMachineIsToldAtOnce) {
  const Status told = await_ports({{"api", "192.0.2.1", 8443}}, Millis(60'000));
  ASSERT_FALSE(told);
  EXPECT_THAT(told.error().message, HasSubstr("not this machine's"));
}

TEST_F(ProcessTest, AStoreThatWasLostIsNotBegunAnewByItself) {
  init();
  {
    Process process(settings_);
    ASSERT_TRUE(process.start(roles_));
    ASSERT_TRUE(wait_until_ready(process));
    EXPECT_TRUE(process.stop());
  }
  // As an operator's hand would leave it: the log with a decision in it, and no store.
  {
    metrics::Registry metrics;
    auto bus = bus::open_embedded_bus(bus_path(folder_), metrics);
    ASSERT_TRUE(bus.ok()) << bus.error().message;
    std::promise<bool> done;
    (*bus)->append({{std::string(fleet::topic::access), "cam-1", "{}", {{"fw-version", "7"}}, std::nullopt}},
                   [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  std::filesystem::remove_all(folder_ + "/store");
  {
    Process process(settings_);
    const Status started = process.start(roles_);
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, ErrorCode::failed_precondition);
    EXPECT_THAT(started.error().message, HasSubstr("records in fleetward.access"));
    EXPECT_THAT(started.error().message, HasSubstr("--accept-empty-store"));
  }
  for (const bool accept : {true, false}) {  // asked for once, it is not asked for again
    Process process(settings_);
    const Status started = process.start(roles_, {.accept_empty_store = accept});
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_TRUE(wait_until_ready(process));
    EXPECT_TRUE(process.stop());
  }
}

TEST(LostHalf, WhatToDoSpeaksOfFilesOnlyWhereThereAreSome) {
  EXPECT_THAT(lost_log({}).message, HasSubstr("DATA_DIR/bus"));
  const std::string of_kafka = lost_log({.backend = "kafka", .bootstrap = "kafka-1:9092"}).message;
  EXPECT_THAT(of_kafka, HasSubstr("kafka-1:9092"));
  EXPECT_THAT(of_kafka, testing::Not(testing::AnyOf(HasSubstr("DATA_DIR"), HasSubstr("bus.db"))));
}

TEST_F(ProcessTest, ALogThatWasLostIsNotGoneOnWithoutByItself) {
  init();
  const auto with_store = [this](const std::function<Status(store::Transaction&)>& work) {
    metrics::Registry metrics;
    auto store = open_store(settings_, metrics);
    ASSERT_TRUE(store.ok()) << store.error().message;
    const Status done =
        store::run_and_wait<void>(**store, [&](store::Transaction& tx) -> Result<void> { return work(tx); });
    ASSERT_TRUE(done) << done.error().message;
  };
  const auto serve_once = [this](Process::StartOptions options) {
    Process process(settings_);
    const Status started = process.start(roles_, options);
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_TRUE(wait_until_ready(process));
    EXPECT_TRUE(process.stop());
  };
  with_store([](store::Transaction& tx) -> Status {
    const auto made = repository::create_thing(tx, "cam-1", "id-1", "cam", {}, instant_from_ms(1));
    return made.ok() ? Status() : Status(made.error());
  });
  serve_once({});  // a log that is new and was told nothing yet was not lost
  std::filesystem::remove_all(folder_ + "/bus");
  {
    Process process(settings_);
    const Status started = process.start(roles_, {.accept_empty_store = true});
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().code, ErrorCode::failed_precondition);
    EXPECT_THAT(started.error().message, HasSubstr("violations that were not yet decided on"));
    EXPECT_THAT(started.error().message, HasSubstr("--accept-empty-log"));
  }
  serve_once({.accept_empty_log = true});
  serve_once({});  // asked for once, it is not asked for again
  with_store([](store::Transaction& tx) -> Status {
    const auto next = repository::next_version(tx, fleet::topic::devices, "cam-1");
    EXPECT_TRUE(next.ok() && *next == 3) << "told again, once";
    const auto published = repository::has_published(tx);
    EXPECT_TRUE(published.ok() && *published);
    return {};
  });
}

}  // namespace
}  // namespace fleetward::program
