#include <fstream>

#include "http/server.hpp"
#include "services/notifier/notifier_fixture.hpp"

namespace fleetward::notifier {
namespace {

using namespace testing_support;  // the fixture is there for this file
using ::testing::HasSubstr;
using ::testing::SizeIs;

class NotifierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("fw_notifier_{}_{}", ::getpid(), counter_++);
    fs::create_directories(dir_);
    port_ = free_port();
    url_ = fmt::format("http://127.0.0.1:{}", port_);
  }
  void TearDown() override {
    fw_.reset();
    alertmanager_.reset();
    fs::remove_all(dir_);
  }
  void install() { fw_ = std::make_unique<Installation>(dir_); }

  void start_alertmanager() {
    std::ofstream(dir_ / "alertmanager.yml") << "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n";
    alertmanager_ = std::make_unique<Program>(
        std::vector<std::string>{"prometheus-alertmanager", "--config.file=" + (dir_ / "alertmanager.yml").string(),
                                 "--storage.path=" + (dir_ / "am").string(),
                                 fmt::format("--web.listen-address=127.0.0.1:{}", port_), "--cluster.listen-address="},
        dir_ / "alertmanager.log");
    ASSERT_TRUE(wait_until([this] {
      const auto answer = fw_->get(url_ + "/-/ready");
      return answer.ok() && answer->status == 200;
    })) << "Alertmanager did not start";
  }
  // What Alertmanager holds to be firing now.
  std::vector<json::Value> alerts() {
    const auto answer = fw_->get(url_ + "/api/v2/alerts");
    EXPECT_TRUE(answer.ok());
    const auto list = json::parse(answer.ok() ? answer->body : "[]");
    EXPECT_TRUE(list.ok());
    return {list->begin(), list->end()};
  }
  bool wait_for_alert(const std::string& text) {
    return wait_until([&] {
      const auto list = alerts();
      return list.size() == 1 && json::dump(list[0]).find(text) != std::string::npos;
    });
  }
  NotifierConfig config(Millis refresh = Millis(60'000)) {
    NotifierConfig c;
    c.alertmanagers = {url_};
    c.link_base = "https://fleetward.test/v1/incidents/";
    c.refresh = refresh;
    return c;
  }

  fs::path dir_;
  std::uint16_t port_ = 0;
  std::string url_;
  std::unique_ptr<Program> alertmanager_;
  std::unique_ptr<Installation> fw_;
  static inline int counter_ = 0;
};

TEST_F(NotifierTest, OnePageAnIncidentUntilItIsReleased) {
  install();
  start_alertmanager();
  fw_->start(config());
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_for_alert("cam1 looks compromised: being isolated"));
  const std::string fingerprint = alerts()[0]["fingerprint"].get<std::string>();
  fw_->append(step("a1", "cam1", ActionState::in_effect, 2));
  fw_->append(step("a2", "cam2", ActionState::awaiting_approval));
  ASSERT_TRUE(wait_for_alert("fleetward actions approve a2"));
  const json::Value alert = alerts()[0];
  EXPECT_EQ(alert["fingerprint"], fingerprint) << "the same page";
  EXPECT_THAT(alert["annotations"]["description"].get<std::string>(), HasSubstr("expected 22, seen 48101"));
  EXPECT_THAT(alert["annotations"]["commands"].get<std::string>(), HasSubstr("fleetward actions release a1"));
  const std::string id = alert["labels"]["incident"].get<std::string>();
  EXPECT_EQ(alert["generatorURL"], "https://fleetward.test/v1/incidents/" + id);
  EXPECT_THAT(fw_->incidents(true), SizeIs(1));

  fw_->append(step("a1", "cam1", ActionState::released, 3));
  ASSERT_TRUE(wait_for_alert("released"));
  fw_->append(step("a2", "cam2", ActionState::refused, 2));
  EXPECT_TRUE(wait_until([this] { return alerts().empty(); })) << "resolved when the last one is over";
  EXPECT_THAT(fw_->incidents(false), SizeIs(1));
}

TEST_F(NotifierTest, AmtoolSeesThePage) {
  install();
  start_alertmanager();
  fw_->start(config());
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_for_alert("cam1"));
  const fs::path out = dir_ / "amtool.json";
  Program amtool({"amtool", "--alertmanager.url=" + url_, "alert", "query", "-o", "json", "severity=critical"}, out);
  EXPECT_EQ(amtool.wait(), 0);
  std::ifstream file(out);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(text, HasSubstr("FleetwardIncident"));
}

TEST_F(NotifierTest, AStoppedGovernorIsPagedAndResolved) {
  install();
  start_alertmanager();
  fw_->start(config());
  const fleet::GovernorCondition stop{fleet::GovernorKind::stop_switch, "", "anna", "storm", now()};
  const auto tell = [&](fleet::GovernorStep step, std::int64_t number) {
    const fleet::GovernorEvent e{fmt::format("governor.{}", number), number, step, "anna", "storm", now(), stop};
    fw_->append("governor", fleet::to_json_text({e.id, "/test", std::string(fleet::event_type::governor), "governor",
                                                 e.time, to_json(e)}));
  };
  tell(fleet::GovernorStep::raised, 1);
  EXPECT_TRUE(wait_for_alert("enforcement is stopped by anna since"));
  EXPECT_TRUE(wait_for_alert("fleetward governor resume"));
  tell(fleet::GovernorStep::ended, 2);
  EXPECT_TRUE(wait_until([&] { return alerts().empty(); })) << "resolved";
}

TEST_F(NotifierTest, ABrakeIsPagedWhenTheDevicesTellOfItNoMore) {
  install();
  start_alertmanager();
  fw_->start(config());
  const fleet::GovernorCondition brake{fleet::GovernorKind::brake, "cams/ports", "responder", "10 things",
                                       now() - std::chrono::minutes(1)};
  const auto tell = [&](fleet::GovernorStep step, std::int64_t number) {
    const fleet::GovernorEvent e{fmt::format("governor.{}", number), number, step, "anna", "why", now(), brake};
    fw_->append("governor", fleet::to_json_text({e.id, "/test", std::string(fleet::event_type::governor), "governor",
                                                 e.time, to_json(e)}));
  };
  fw_->append(step("a1", "cam1", ActionState::awaiting_approval));
  ASSERT_TRUE(wait_for_alert("cam1 looks compromised"));
  tell(fleet::GovernorStep::raised, 1);
  ASSERT_TRUE(wait_until([this] { return fw_->incidents(true).size() == 2; }));
  fw_->append(step("a2", "cam2", ActionState::awaiting_approval));
  ASSERT_TRUE(wait_for_alert("2 devices look compromised")) << "the only page";
  fw_->append(step("a1", "cam1", ActionState::refused, 2));
  fw_->append(step("a2", "cam2", ActionState::refused, 2));
  ASSERT_TRUE(wait_for_alert("the brake is on for cams/ports"));
  tell(fleet::GovernorStep::ended, 2);
  EXPECT_TRUE(wait_until([this] { return alerts().empty(); })) << "resolved";
}

TEST_F(NotifierTest, APageIsKeptAlive) {
  install();
  start_alertmanager();
  fw_->start(config(Millis(100)));
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_for_alert("cam1"));
  const std::string first = alerts()[0]["endsAt"].get<std::string>();
  EXPECT_TRUE(wait_until([&] { return alerts()[0]["endsAt"].get<std::string>() > first; }));
  EXPECT_EQ(fw_->incidents()[0].revision, 1) << "nothing had changed";
}

TEST_F(NotifierTest, APagerThatIsAwayGetsItLater) {
  install();
  fw_->start(config());
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_until([this] { return fw_->pages("failed") >= 2; }));
  start_alertmanager();
  EXPECT_TRUE(wait_for_alert("cam1"));
}

TEST_F(NotifierTest, KilledBetweenThePostAndItsRecordPagesOnce) {
  install();
  start_alertmanager();
  fw_->append(step("a1", "cam1", ActionState::executing));
  fw_.reset();
  Program killed(
      {"/proc/self/exe", "--gtest_filter=NotifierUntilKilled.*"}, dir_ / "child.log",
      {"FLEETWARD_FAULT=notifier.after_post", "NOTIFIER_TEST_FOLDER=" + dir_.string(), "NOTIFIER_TEST_URL=" + url_});
  const int status = killed.wait();
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the fault point was not reached: " << status;
  install();
  ASSERT_THAT(alerts(), SizeIs(1)) << "it had been posted";
  const std::string fingerprint = alerts()[0]["fingerprint"].get<std::string>();
  fw_->start(config());
  ASSERT_TRUE(wait_until([this] { return fw_->pages("delivered") == 1; })) << "and is posted again";
  ASSERT_THAT(alerts(), SizeIs(1));
  EXPECT_EQ(alerts()[0]["fingerprint"], fingerprint);
  EXPECT_THAT(fw_->incidents(), SizeIs(1));
}

// The child of the test above, which ends at the fault point. Run by itself it has nothing to do.
TEST(NotifierUntilKilled, RunsInTheFolderItIsGiven) {
  const char* folder = std::getenv("NOTIFIER_TEST_FOLDER");
  const char* url = std::getenv("NOTIFIER_TEST_URL");
  if (folder == nullptr || url == nullptr) return;
  Installation fw{fs::path(folder)};
  NotifierConfig c;
  c.alertmanagers = {url};
  fw.start(c);
  wait_until([] { return false; });
}

TEST_F(NotifierTest, StoppedAndStartedItFoldsEachStepOnce) {
  install();
  start_alertmanager();
  fw_->start(config());
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_for_alert("cam1"));
  fw_.reset();
  install();
  fw_->start(config());
  fw_->append(step("a1", "cam1", ActionState::executing));  // told again
  fw_->append(step("a1", "cam1", ActionState::in_effect, 2));
  ASSERT_TRUE(wait_for_alert("isolated, verified"));
  EXPECT_EQ(fw_->incidents()[0].revision, 2);
}

// A receiver that answers as the test says.
class Pager {
 public:
  explicit Pager(async::Scheduler& scheduler, metrics::Registry& metrics) : scheduler_(scheduler) {
    async::run_on(scheduler, [&] {
      auto opened = http::Server::open(
          scheduler, {"127.0.0.1", 0}, nullptr, [this](http::Request r) { return handle(std::move(r)); }, metrics);
      EXPECT_TRUE(opened.ok());
      server_ = std::move(*opened);
    });
  }
  ~Pager() {
    server_->stop(Millis(10'000));
    async::run_on(scheduler_, [this] { server_.reset(); });
  }
  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}/", server_->port()); }
  std::atomic<int> status{200};
  std::atomic<int> asked{0};
  std::string last() {
    std::string out;
    async::run_on(scheduler_, [&] { out = last_; });
    return out;
  }

 private:
  async::Task<http::Response> handle(http::Request request) {
    ++asked;
    last_ = request.target + " " + request.body;
    co_return http::text_response(status, "said so\x1b[2J");
  }
  async::Scheduler& scheduler_;
  std::unique_ptr<http::Server> server_;
  std::string last_;
};

TEST_F(NotifierTest, EachReceiverGetsThePageAndOneThatRefusesIsNotBesieged) {
  install();
  Pager refusing(fw_->loop, fw_->metrics);
  Pager good(fw_->loop, fw_->metrics);
  refusing.status = 400;
  NotifierConfig c = config();
  c.alertmanagers = {refusing.url(), good.url()};
  fw_->start(c);
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_until([&] { return refusing.asked == 1 && good.asked == 1; }));
  fw_->append(step("a1", "cam1", ActionState::in_effect, 2));
  ASSERT_TRUE(wait_until([&] { return refusing.asked == 2 && good.asked == 2; }));
  EXPECT_THAT(good.last(), HasSubstr("/api/v2/alerts [{"));
  EXPECT_EQ(fw_->pages("failed"), 2U);
  EXPECT_EQ(fw_->pages("delivered"), 2U);
  fw_->notifier->stop(Millis(10'000));
  fw_->notifier.reset();
}

TEST_F(NotifierTest, AReceiverThatIsOverloadedIsAskedAgain) {
  install();
  Pager pager(fw_->loop, fw_->metrics);
  pager.status = 503;
  NotifierConfig c = config();
  c.alertmanagers = {pager.url()};
  fw_->start(c);
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_until([&] { return pager.asked >= 2; }));
  pager.status = 200;
  ASSERT_TRUE(wait_until([&] { return fw_->pages("delivered") == 1; }));
  fw_->notifier->stop(Millis(10'000));
  fw_->notifier.reset();
}

TEST_F(NotifierTest, WhatCannotBeReadIsBuried) {
  install();
  fw_->start(NotifierConfig());
  fw_->append("cam1", "not json");
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_until([this] { return fw_->incidents().size() == 1; }));
  EXPECT_EQ(fw_->metrics.counter("fleetward_notifier_unreadable_total", "").value(), 1U);
}

TEST_F(NotifierTest, AnAddressThatIsNoneIsToldAtTheStart) {
  install();
  for (const char* bad : {"alertmanager:9093", "ftp://x", "https://pager.test"}) {
    NotifierConfig c;
    c.alertmanagers = {bad};
    Notifier notifier(c, fw_->store(), fw_->bus(), fw_->loop, fw_->metrics);
    EXPECT_EQ(notifier.start().error().code, ErrorCode::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace fleetward::notifier
