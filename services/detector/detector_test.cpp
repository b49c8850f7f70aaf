#include "services/detector/detector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <future>

#include "bus/embedded_bus.hpp"
#include "core/text.hpp"
#include "detect/engine.hpp"
#include "fleet/cloud_event.hpp"
#include "fleet/gateway_events.hpp"
#include "fleet/topics.hpp"
#include "services/detector/replay.hpp"

namespace fleetward::detector {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
constexpr std::int32_t partitions = 2;

// A bus file with a detector over it.
class Process {
 public:
  explicit Process(const fs::path& file, Millis checkpoint_every = Millis(100)) : loop_("detector") {
    auto bus = bus::open_embedded_bus(file.string(), metrics_);
    if (!bus) throw std::runtime_error(bus.error().message);
    bus_ = std::move(*bus);
    std::vector<bus::TopicSpec> topics;
    for (const fleet::TopicInfo& t : fleet::all_topics) {
      topics.push_back({std::string(t.name), t.per_device ? partitions : 1,
                        t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
    }
    if (const Status made = bus_->ensure_topics(topics); !made) throw std::runtime_error(made.error().message);
    DetectorSettings settings;
    settings.checkpoint_every = checkpoint_every;
    detector_ = std::make_unique<Detector>(settings, *bus_, loop_, metrics_, random_);
    EXPECT_TRUE(detector_->start().ok());
  }
  ~Process() { stop(); }
  void stop() {
    if (second_) stop_second();
    if (detector_) detector_->stop(Millis(10'000));
    detector_.reset();
    loop_.stop();
    second_loop_.stop();
    bus_.reset();
  }

  void append(bus::OutRecord record) {
    std::promise<bool> done;
    std::vector<bus::OutRecord> records;
    records.push_back(std::move(record));
    bus_->append(std::move(records), [&done](const auto& result) { done.set_value(result.ok()); });
    ASSERT_TRUE(done.get_future().get());
  }
  void rule(const std::string& key, const json::Value& value) {
    append({std::string(fleet::topic::rules),
            key,
            fleet::to_json_text({key, "/test", "type", key, instant_from_ms(0), value}),
            {{std::string(fleet::header::version), "1"}},
            std::nullopt});
  }
  void manifest(std::int64_t number, std::vector<fleet::Manifest::Entry> profiles) {
    rule(fleet::manifest_key(number), to_json(fleet::Manifest{number, std::move(profiles), {}}));
  }
  void ports(const std::string& thing, const std::vector<int>& ports) {
    json::Value list = json::Value::array();
    for (const int port : ports) list.push_back({{"port", port}});
    const json::Value report = {{"header", {{"report_id", 1}, {"version", "1.0"}}},
                                {"metrics", {{"listening_tcp_ports", {{"ports", list}, {"total", list.size()}}}}}};
    append({std::string(fleet::topic::devices),
            thing,
            json::dump(report),
            {{std::string(fleet::header::kind), "report"},
             {std::string(fleet::header::received_ms), std::to_string(to_ms(loop_.now()))}},
            std::nullopt});
  }
  void heartbeat(std::int64_t start_number, bool stopping, Millis lease = Millis(3'600'000)) {
    fleet::GatewayHeartbeat h;
    h.instance = "g1";
    h.start_number = start_number;
    h.stopping = stopping;
    h.time = loop_.now();
    h.lease_end = h.time + lease;
    append({std::string(fleet::topic::gateways),
            "g1",
            fleet::to_json_text({"id", "/test", "type", "g1", h.time, to_json(h)}),
            {},
            std::nullopt});
  }
  bool wait(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  double records(detect::Outcome outcome) {
    return metrics_.gauge("fleetward_detector_records", "", {{"outcome", std::string(to_string(outcome))}}).value();
  }
  std::uint64_t checkpoints() { return metrics_.counter("fleetward_detector_checkpoints_total", "").value(); }
  std::uint64_t published() { return metrics_.counter("fleetward_detector_violations_published_total", "").value(); }
  Detector& detector() { return *detector_; }
  // Another member of the group on the same bus; its metrics of state write over the first one's.
  void start_second() {
    DetectorSettings settings;
    settings.checkpoint_every = Millis(100);
    settings.member = "detector-2";
    second_ = std::make_unique<Detector>(settings, *bus_, second_loop_, metrics_, random_);
    ASSERT_TRUE(second_->start().ok());
  }
  void stop_second() {
    second_->stop(Millis(10'000));
    second_.reset();
  }
  double owned() { return metrics_.gauge("fleetward_detector_partitions", "").value(); }

 private:
  metrics::Registry metrics_;
  crypto::SystemRandom random_;
  std::unique_ptr<bus::Bus> bus_;
  async::LoopThread loop_;
  std::unique_ptr<Detector> detector_;
  async::LoopThread second_loop_{"detector-2"};
  std::unique_ptr<Detector> second_;
};

const fleet::Manifest::Entry everyone{"p", 1, {{fleet::Target::Kind::all_things, {}}}};

class DetectorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() /
           fmt::format("fw_detector_{}_{}", ::getpid(), ::testing::UnitTest::GetInstance()->random_seed() + counter_++);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }
  [[nodiscard]] fs::path file() const { return dir_ / "bus.db"; }
  // As the disk was at this moment: what a crash would leave.
  [[nodiscard]] fs::path copy(const std::string& name) const {
    const fs::path to = dir_ / name;
    fs::copy_file(file(), to);
    if (fs::exists(file().string() + "-wal")) fs::copy_file(file().string() + "-wal", to.string() + "-wal");
    return to;
  }
  static void attach(Process& p) {
    const auto profile = json::parse(
        R"({"securityProfileName":"p","version":1,"behaviors":[{"name":"ports","metric":"aws:listening-tcp-ports",
            "criteria":{"comparisonOperator":"in-port-set","value":{"ports":[22]}}}]})");
    p.rule("profile/p@1", *profile);
    p.manifest(1, {everyone});
    ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::mark_applied) == partitions; }));
  }
  // "in-alarm v1", by id.
  static std::vector<std::string> summary(const std::vector<TextById>& events) {
    std::vector<std::string> out;
    for (const TextById& e : events) {
      const auto event = fleet::violation_event_from_json(fleet::parse_cloud_event(e.text)->data);
      out.push_back(fmt::format("{} {}", to_string(event->type), event->thing));
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  static void expect_same(const std::vector<TextById>& a, const std::vector<TextById>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].id, b[i].id);
      EXPECT_EQ(a[i].text, b[i].text);
    }
  }
  fs::path dir_;
  static inline int counter_ = 0;
};

TEST_F(DetectorTest, PublishesAndGoesOnAfterARestartWhereItWas) {
  std::string first_id;
  {
    Process p(file());
    attach(p);
    EXPECT_TRUE(p.wait([&] { return p.detector().ready().ok(); })) << p.detector().ready().error().message;
    p.ports("v1", {22});
    p.ports("v1", {22, 23});
    ASSERT_TRUE(p.wait([&] { return p.published() == 1; }));
    p.stop();
    const auto recorded = recorded_violations(file().string());
    ASSERT_TRUE(recorded.ok()) << recorded.error().message;
    EXPECT_THAT(summary(*recorded), ElementsAre("in-alarm v1"));
    first_id = recorded->front().id.substr(0, 32);
  }
  {
    Process p(file());
    ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::begin_applied) == 2 * partitions; }));
    p.ports("v1", {23});
    p.ports("v1", {22});
    ASSERT_TRUE(p.wait([&] { return p.published() == 1; })) << "it was in alarm before: only its end is new";
    p.stop();
  }
  const auto recorded = recorded_violations(file().string());
  EXPECT_THAT(summary(*recorded), ElementsAre("alarm-cleared v1", "in-alarm v1"));
  for (const TextById& e : *recorded) EXPECT_EQ(e.id.substr(0, 32), first_id);
  const auto replayed = replay(file().string());
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  expect_same(*replayed, *recorded);
}

TEST_F(DetectorTest, ACrashBeforeTheCheckpointRaisesTheSameViolationAgain) {
  fs::path crashed;
  {
    Process p(file(), Millis(3'600'000));
    attach(p);
    p.ports("v1", {23});
    p.ports("v2", {23});
    ASSERT_TRUE(p.wait([&] { return p.published() == 2; }));
    crashed = copy("crashed.db");
  }
  {
    Process p(crashed);
    ASSERT_TRUE(p.wait([&] { return p.published() == 2; })) << "without a checkpoint it reads the records again";
    ASSERT_TRUE(p.wait([&] { return p.checkpoints() >= partitions; }));
    p.manifest(2, {});
    ASSERT_TRUE(p.wait([&] { return p.published() == 4; })) << "detached: both alarms end";
    p.manifest(3, {everyone});
    ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::mark_applied) == 3 * partitions; }));
    p.ports("v1", {23});
    ASSERT_TRUE(p.wait([&] { return p.published() == 5; }));
    p.stop();
  }
  const auto recorded = recorded_violations(crashed.string());
  ASSERT_TRUE(recorded.ok()) << recorded.error().message;
  EXPECT_THAT(summary(*recorded),
              ElementsAre("alarm-invalidated v1", "alarm-invalidated v2", "in-alarm v1", "in-alarm v1", "in-alarm v2"))
      << "what was published twice has one id and one text";
  const auto replayed = replay(crashed.string());
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  expect_same(*replayed, *recorded);
}

#ifdef FLEETWARD_FAULT_POINTS
constexpr const char* child_file_variable = "FLEETWARD_TEST_CHILD_FILE";

// The body of the process that DetectorKilled starts; by itself it does nothing.
TEST_F(DetectorTest, IsTheChildThatIsKilled) {
  const char* child_file = std::getenv(child_file_variable);
  if (child_file == nullptr) return;
  Process p(child_file, Millis(50));
  attach(p);
  p.ports("v1", {22});
  p.ports("v1", {23});
  p.ports("v2", {23});
  p.wait([] { return false; });
}

class DetectorKilled : public DetectorTest, public ::testing::WithParamInterface<const char*> {};

// kill -9 at a fault point, in a process of its own: what was acknowledged is applied once, each violation is one.
TEST_P(DetectorKilled, LosesNothingAndRaisesOnce) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {  // a fresh program: fault points are read once a process
    ::setenv("FLEETWARD_FAULT", GetParam(), 1);
    ::setenv(child_file_variable, file().c_str(), 1);
    ::execl("/proc/self/exe", "detector", "--gtest_filter=DetectorTest.IsTheChildThatIsKilled", nullptr);
    ::_exit(127);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the fault point was not passed";

  Process p(file());
  attach(p);
  p.ports("v1", {23});
  p.ports("v2", {23});
  ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::report_applied) >= 2; }));
  p.ports("v3", {23});
  p.ports("v3", {22});
  // Not the number of publishings: those of v1 and v2 may come a second time.
  ASSERT_TRUE(p.wait([&] {
    const auto so_far = recorded_violations(file().string());
    return so_far.ok() && so_far->size() >= 4;
  }));
  p.stop();
  const auto recorded = recorded_violations(file().string());
  ASSERT_TRUE(recorded.ok()) << recorded.error().message;
  EXPECT_THAT(summary(*recorded), ElementsAre("alarm-cleared v3", "in-alarm v1", "in-alarm v2", "in-alarm v3"));
  const auto replayed = replay(file().string());
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  expect_same(*replayed, *recorded);
}
INSTANTIATE_TEST_SUITE_P(Points, DetectorKilled,
                         ::testing::Values("detector.after_violation", "detector.before_commit",
                                           "detector.before_commit:2"));
#endif

TEST_F(DetectorTest, EachRecordEndsInOneCounterOverARestart) {
  {
    Process p(file());
    attach(p);
    p.ports("v1", {22});
    p.append(
        {std::string(fleet::topic::devices), "v1", "{", {{std::string(fleet::header::kind), "report"}}, std::nullopt});
    ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::report_rejected_payload) == 1; }));
  }
  Process p(file());
  ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::begin_applied) == 2 * partitions; }));
  EXPECT_EQ(p.records(detect::Outcome::report_rejected_payload), 1) << "counters are part of the checkpoint";
  EXPECT_EQ(p.records(detect::Outcome::report_applied), 1);
}

TEST_F(DetectorTest, BeginsAndMarksAlsoWhileRecordsNeverCease) {
  Process p(file());
  std::atomic<bool> over{false};
  std::thread devices([&] {
    while (!over) p.ports("v1", {22});
  });
  EXPECT_TRUE(p.wait([&] { return p.records(detect::Outcome::begin_applied) >= partitions; }));
  attach(p);
  over = true;
  devices.join();
}

// Its clock must have the moment, also while devices of other gateways go on speaking (no silence brings a tick then).
TEST_F(DetectorTest, TicksWhenAGatewayStopsOrReturns) {
  Process p(file());
  p.heartbeat(1, false);
  ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::begin_applied) == partitions; }));
  std::atomic<bool> over{false};
  std::thread devices([&] {
    for (int i = 0; !over; ++i) p.ports(fmt::format("v{}", i % 8), {22});
  });
  const auto ticks = [&p](double times) {
    return p.wait([&] { return p.records(detect::Outcome::tick_applied) >= times * partitions; });
  };
  // Whether its first coming is news is a matter of who was first.
  const double before = p.wait([&] { return p.records(detect::Outcome::report_applied) > 8; })
                            ? p.records(detect::Outcome::tick_applied) / partitions
                            : 0;
  p.heartbeat(1, true);
  EXPECT_TRUE(ticks(before + 1)) << "it stopped";
  p.heartbeat(2, false, Millis(3'000));
  EXPECT_TRUE(ticks(before + 2)) << "it returned";
  EXPECT_TRUE(ticks(before + 3)) << "its lease ended";
  over = true;
  devices.join();
}

TEST_F(DetectorTest, AMarkWaitsForRulesThatComeLater) {
  Process p(file());
  p.manifest(1, {everyone});  // names a profile that is not here
  ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::begin_applied) == partitions; }));
  p.ports("v1", {23});
  ASSERT_TRUE(p.wait([&] { return p.records(detect::Outcome::report_applied) == 1; }));
  EXPECT_EQ(p.records(detect::Outcome::mark_applied), 0);
  attach(p);
  p.ports("v1", {23});
  ASSERT_TRUE(p.wait([&] { return p.published() == 1; }));
}

TEST_F(DetectorTest, HandsPartitionsOverWithTheirState) {
  Process p(file());
  attach(p);
  for (int i = 0; i < 8; ++i) p.ports(fmt::format("v{}", i), {23});
  ASSERT_TRUE(p.wait([&] { return p.published() == 8; }));
  p.start_second();
  // Each of them has one: both partitions have had two begins.
  ASSERT_TRUE(p.wait([&] { return p.owned() == 1; }));
  for (int i = 0; i < 8; ++i) p.ports(fmt::format("v{}", i), {22});
  ASSERT_TRUE(p.wait([&] { return p.published() == 16; })) << "the new owner knows the alarms of the old one";
  p.stop_second();
  for (int i = 0; i < 8; ++i) p.ports(fmt::format("v{}", i), {23});
  ASSERT_TRUE(p.wait([&] { return p.published() == 24; }));
  p.stop();
  const auto recorded = recorded_violations(file().string());
  ASSERT_TRUE(recorded.ok());
  EXPECT_EQ(recorded->size(), 24U);
  const auto replayed = replay(file().string());
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  expect_same(*replayed, *recorded);
}

TEST_F(DetectorTest, RefusesTopicsOfDifferentPartitionCounts) {
  metrics::Registry metrics;
  async::LoopThread loop("t");
  auto bus = bus::make_memory_bus(loop, metrics);
  ASSERT_TRUE(bus->ensure_topics({{std::string(fleet::topic::devices), 4, bus::TopicKind::log, Millis(0)},
                                  {std::string(fleet::topic::detector_state), 2, bus::TopicKind::table, Millis(0)}})
                  .ok());
  crypto::SystemRandom random;
  Detector detector({}, *bus, loop, metrics, random);
  EXPECT_EQ(detector.start().error().code, ErrorCode::failed_precondition);
  EXPECT_FALSE(detector.ready().ok());
}

TEST_F(DetectorTest, ReplaySaysWhatIsNotAFile) { EXPECT_FALSE(replay((dir_ / "missing.db").string()).ok()); }

}  // namespace
}  // namespace fleetward::detector
