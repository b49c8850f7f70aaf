// Partitions that state_bytes_max leaves paused, over a bus in memory and in virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/local_bus.hpp"
#include "bus/memory_storage.hpp"
#include "detect/engine.hpp"
#include "fleet/topics.hpp"
#include "services/detector/detector.hpp"

namespace fleetward::detector {
namespace {

using ::testing::HasSubstr;
constexpr std::int32_t partitions = 4;
constexpr Millis session{10'000};

// A detector and what it tells.
struct Member {
  Member(std::string name, std::size_t state_bytes_max, bus::Bus& bus, async::Scheduler& loop,
         const std::function<void(DetectorSettings&)>& change = nullptr)
      : settings{.member = std::move(name), .state_bytes_max = state_bytes_max, .session_timeout = session} {
    if (change) change(settings);
    detector = std::make_unique<Detector>(settings, bus, loop, metrics, random);
    EXPECT_TRUE(detector->start().ok());
  }
  double gauge(const std::string& name) { return metrics.gauge("fleetward_detector_" + name, "").value(); }
  double applied() { return metrics.gauge("fleetward_detector_records", "", {{"outcome", "report_applied"}}).value(); }
  double duplicates() {
    return metrics.gauge("fleetward_detector_records", "", {{"outcome", "report_duplicate"}}).value();
  }
  [[nodiscard]] std::string why_not_ready() const {
    const Status ready = detector->ready();
    return ready ? "" : ready.error().message;
  }

  DetectorSettings settings;
  metrics::Registry metrics;
  crypto::SystemRandom random;
  std::unique_ptr<Detector> detector;
};

async::Task<void> look_at_commits(bus::Bus& bus, async::Scheduler& loop, std::vector<bus::Position>& out) {
  const auto committed = co_await bus.committed(loop, "detector", std::string(fleet::topic::devices));
  if (committed) out = *committed;
}

class Paused : public ::testing::Test {
 protected:
  Paused() {
    std::vector<bus::TopicSpec> topics;
    for (const fleet::TopicInfo& t : fleet::all_topics) {
      topics.push_back({std::string(t.name), t.per_device ? partitions : 1,
                        t.is_table ? bus::TopicKind::table : bus::TopicKind::log, Millis(0)});
    }
    EXPECT_TRUE(bus_->ensure_topics(topics).ok());
  }
  ~Paused() override {
    for (auto& member : members_) stop(*member);
  }
  Member& start(const std::string& name, std::size_t state_bytes_max) {
    return *members_.emplace_back(std::make_unique<Member>(name, state_bytes_max, *bus_, loop_));
  }
  void stop(Member& member) {
    member.detector->stop(Millis(0));  // it ends as its time goes on
    loop_.run_for(session);
  }
  // A report of each of these devices, in each partition.
  void report(int first, int last) {
    std::vector<bus::OutRecord> records;
    for (std::int32_t p = 0; p < partitions; ++p) {
      for (int i = first; i <= last; ++i) {
        records.push_back({std::string(fleet::topic::devices),
                           fmt::format("p{}-device-{}", p, i),
                           R"({"header":{"report_id":1,"version":"1.0"},"metrics":{}})",
                           {{std::string(fleet::header::kind), "report"}},
                           p});
      }
    }
    reports_ += static_cast<int>(records.size());
    bus_->append(std::move(records), [](const auto& done) { ASSERT_TRUE(done.ok()); });
    loop_.run_for(session);
  }
  // By partition, where the group goes on reading.
  std::map<std::int32_t, std::int64_t> committed() {
    std::vector<bus::Position> found;
    async::Scope scope(loop_, "look");
    scope.spawn("look", look_at_commits(*bus_, loop_, found));
    loop_.run_for(Millis(100));
    std::map<std::int32_t, std::int64_t> out;
    for (const bus::Position& p : found) out[p.partition] = p.offset;
    return out;
  }
  // What ten devices in each partition take together.
  std::size_t saved_state() {
    Member& first = start("first", SIZE_MAX);
    loop_.run_for(session);
    report(1, 10);
    EXPECT_EQ(first.why_not_ready(), "");
    const double bytes = first.gauge("state_bytes");
    stop(first);
    members_.clear();
    return static_cast<std::size_t>(bytes);
  }

  async::VirtualScheduler loop_{instant_from_ms(1'700'000'100'000)};
  metrics::Registry bus_metrics_;
  std::unique_ptr<bus::Bus> bus_ = bus::make_local_bus(bus::make_memory_storage(), loop_, loop_, bus_metrics_);
  std::vector<std::unique_ptr<Member>> members_;
  int reports_ = 0;
};

TEST_F(Paused, WhatDoesNotFitIsNotReadAndIsSaid) {
  const std::size_t all = saved_state();
  const auto before = committed();
  Member& small = start("small", all / 2);
  loop_.run_for(session);
  EXPECT_EQ(small.gauge("partitions"), 4);
  EXPECT_EQ(small.gauge("partitions_paused"), 2);
  EXPECT_EQ(small.gauge("devices"), 20);
  EXPECT_LE(small.gauge("state_bytes"), all / 2);
  EXPECT_THAT(small.why_not_ready(), HasSubstr("degraded"));
  EXPECT_THAT(small.why_not_ready(), HasSubstr("paused partitions (2, 3)"));
  EXPECT_THAT(small.why_not_ready(), HasSubstr("raise detector.state_bytes_max"));

  report(1, 10);
  EXPECT_EQ(small.gauge("partitions_paused"), 2);
  EXPECT_EQ(small.applied(), 40) << "of the two that it reads, then and now";
  const auto after = committed();
  for (const std::int32_t p : {0, 1}) EXPECT_GE(after.at(p), before.at(p) + 10) << p;
  for (const std::int32_t p : {2, 3}) EXPECT_EQ(after.at(p), before.at(p)) << p;
}

TEST_F(Paused, AreTakenByAnotherDetectorWhoComes) {
  const std::size_t all = saved_state();
  Member& small = start("small", all / 2);
  loop_.run_for(session);
  report(1, 10);
  ASSERT_EQ(small.gauge("partitions_paused"), 2);
  Member& other = start("other", all / 2);
  loop_.run_for(3 * session);
  for (Member* member : {&small, &other}) {
    EXPECT_EQ(member->why_not_ready(), "") << member->settings.member;
    EXPECT_EQ(member->gauge("partitions"), 2) << member->settings.member;
    EXPECT_EQ(member->gauge("partitions_paused"), 0) << member->settings.member;
  }
  EXPECT_EQ(small.applied() + other.applied(), reports_);
}

TEST_F(Paused, AreTakenByTheirOwnerWhenOthersAreTakenAway) {
  const std::size_t all = saved_state();
  Member& small = start("small", all / 2);
  loop_.run_for(session);
  ASSERT_EQ(small.gauge("partitions_paused"), 2);
  Member& tiny = start("tiny", 1);  // has no room for anything
  loop_.run_for(3 * session);
  EXPECT_EQ(small.why_not_ready(), "");
  EXPECT_EQ(small.gauge("devices"), 20);
  EXPECT_EQ(tiny.gauge("partitions_paused"), 2);
  EXPECT_THAT(tiny.why_not_ready(), HasSubstr("degraded"));
}

TEST_F(Paused, IsAlsoWhatHasGrownOverTheLimit) {
  const std::size_t all = saved_state();
  Member& growing = start("growing", all + all / 8);
  loop_.run_for(session);
  ASSERT_EQ(growing.why_not_ready(), "");
  report(11, 15);
  EXPECT_EQ(growing.gauge("partitions_paused"), 1);
  EXPECT_EQ(growing.gauge("devices"), 45);
  report(16, 20);
  EXPECT_EQ(growing.gauge("partitions_paused"), 2);
  EXPECT_EQ(growing.gauge("devices"), 40);

  Member& other = start("other", 2 * all);
  loop_.run_for(3 * session);
  EXPECT_EQ(growing.why_not_ready(), "");
  EXPECT_EQ(other.why_not_ready(), "");
  EXPECT_EQ(growing.gauge("devices") + other.gauge("devices"), 80);
  EXPECT_EQ(growing.applied() + other.applied(), reports_) << "each once, those too that came while it was paused";
}

TEST_F(Paused, IsNotThePartitionThatIsLeftAlone) {
  const std::size_t all = saved_state();
  Member& small = start("small", all / 4);
  loop_.run_for(session);
  ASSERT_EQ(small.gauge("partitions_paused"), 3);
  report(11, 15);
  EXPECT_EQ(small.gauge("partitions_paused"), 3);
  EXPECT_EQ(small.gauge("devices"), 15) << "somebody must hold it";
  start("other", SIZE_MAX);
  start("another", SIZE_MAX);
  start("one more", SIZE_MAX);
  loop_.run_for(5 * session);
  EXPECT_EQ(small.gauge("partitions"), 1);
  EXPECT_EQ(small.gauge("partitions_paused"), small.gauge("devices") == 0 ? 1 : 0);
  EXPECT_THAT(small.why_not_ready(), HasSubstr("degraded")) << "nobody else can help it";
}

}  // namespace
}  // namespace fleetward::detector
