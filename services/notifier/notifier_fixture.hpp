// What the tests of the role share: an installation in a folder, steps of actions, programs beside the test.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <future>

#include "bus/embedded_bus.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/topics.hpp"
#include "http/client.hpp"
#include "repository/incident_changes.hpp"
#include "repository/incident_repository.hpp"
#include "repository/migrations.hpp"
#include "services/notifier/notifier.hpp"
#include "store/run_and_wait.hpp"
#include "store/sqlite_store.hpp"

extern char** environ;  // NOLINT: POSIX names it so

namespace fleetward::notifier::testing_support {

namespace fs = std::filesystem;
using fleet::ActionState;
using fleet::HoldLevel;

inline constexpr std::chrono::seconds patience{30};

inline bool wait_until(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

inline Instant now() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

inline std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* address = reinterpret_cast<sockaddr*>(&at);
  EXPECT_EQ(::bind(fd, address, size), 0);
  EXPECT_EQ(::getsockname(fd, address, &size), 0);
  ::close(fd);
  return ntohs(at.sin_port);
}

// A program that runs beside the test, its output in a file.
class Program {
 public:
  Program(std::vector<std::string> words, const fs::path& output, const std::vector<std::string>& variables = {}) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> kept = variables;
    for (char** v = environ; *v != nullptr; ++v) kept.emplace_back(*v);
    std::vector<char*> envp;
    for (std::string& v : kept) envp.push_back(v.data());
    envp.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, output.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    const int failed = ::posix_spawnp(&pid_, argv[0], &files, nullptr, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&files);
    EXPECT_EQ(failed, 0) << words[0];
  }
  ~Program() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return status;
  }

 private:
  pid_t pid_ = 0;
};

inline fleet::ActionEvent step(const std::string& id, const std::string& thing, ActionState state,
                               std::int64_t number = 1) {
  fleet::ActionEvent e;
  e.id = fmt::format("{}.{}", id, number);
  e.number = number;
  e.step = "test";
  e.time = now();
  e.action.id = id;
  e.action.thing = thing;
  e.action.state = state;
  e.action.entry = "isolate-infected";
  e.action.rule = "cameras/ports";
  e.action.mode = "enforce";
  e.action.severity = "critical";
  e.action.reason = "cameras/ports: expected 22, seen 48101";
  e.action.created = e.action.updated = e.time;
  return e;
}

// Bus and store in a folder, and a notifier over them.
class Installation {
 public:
  explicit Installation(const fs::path& dir) {
    auto store = store::open_sqlite_store((dir / "store.db").string(), metrics);
    EXPECT_TRUE(store.ok()) << store.error().message;
    store_ = std::move(*store);
    EXPECT_TRUE(store_->migrate(repository::all_migrations()).ok());
    auto opened = bus::open_embedded_bus((dir / "bus.db").string(), metrics);
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    bus_ = std::move(*opened);
    EXPECT_TRUE(bus_->ensure_topics({{std::string(fleet::topic::actions), 2, bus::TopicKind::log, Millis(0)},
                                     {std::string(fleet::topic::dead_letters), 1, bus::TopicKind::log, Millis(0)}})
                    .ok());
  }
  ~Installation() {
    if (notifier) notifier->stop(Millis(15'000));
    notifier.reset();
    loop.stop();
  }
  void start(NotifierConfig config) {
    notifier = std::make_unique<Notifier>(std::move(config), *store_, *bus_, loop, metrics);
    const Status started = notifier->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
  }
  void append(const std::string& key, std::string value) {
    std::promise<bool> done;
    bus_->append({{std::string(fleet::topic::actions), key, std::move(value), {}, std::nullopt}},
                 [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  void append(const fleet::ActionEvent& e) {
    append(e.action.thing, fleet::to_json_text({e.id, "/test", "t", e.action.thing, e.time, to_json(e)}));
  }
  template <class T>
  Result<T> in_store(std::function<Result<T>(store::Transaction&)> work) {
    return store::run_and_wait<T>(*store_, work);
  }
  std::vector<fleet::Incident> incidents(std::optional<bool> open = {}) {
    return *in_store<std::vector<fleet::Incident>>(
        [open](store::Transaction& tx) { return repository::list_incidents(tx, open, "", 100); });
  }
  Status fold(const std::vector<fleet::ActionEvent>& events) {
    const auto done = in_store<bool>([&events](store::Transaction& tx) -> Result<bool> {
      const Status folded = repository::fold_actions(tx, events, now());
      if (!folded) return folded.error();
      return true;
    });
    return done ? Status() : Status(done.error());
  }
  // Values of the outbox: what would go onto topic incidents.
  std::vector<std::string> published() {
    const auto rows =
        in_store<store::Rows>([](store::Transaction& tx) { return tx.query("SELECT value FROM outbox ORDER BY 1"); });
    std::vector<std::string> out;
    for (const store::Row& r : *rows) out.push_back(r.text(0));
    return out;
  }
  Result<http::Response> get(const std::string& url) {
    std::promise<Result<http::Response>> done;
    scope.spawn("get", get_task(url, done));
    return done.get_future().get();
  }
  store::Store& store() { return *store_; }
  bus::Bus& bus() { return *bus_; }
  std::uint64_t pages(const std::string& result) {
    return metrics.counter("fleetward_notifier_pages_total", "", {{"result", result}}).value();
  }

  metrics::Registry metrics;
  async::LoopThread loop{"notifier"};
  async::Scope scope{loop, "test"};
  std::unique_ptr<Notifier> notifier;

 private:
  async::Task<void> get_task(std::string url, std::promise<Result<http::Response>>& done) {
    Result<http::Response> answer = co_await http::request(loop, {"GET", url, {}, ""}, {});
    done.set_value(std::move(answer));
  }
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<bus::Bus> bus_;
};

}  // namespace fleetward::notifier::testing_support
