// Webhooks at receivers that answer as the test says, plain and over TLS.
#include "http/server.hpp"
#include "pki/certificate.hpp"
#include "services/notifier/notifier_fixture.hpp"
#include "services/notifier/webhook_pager.hpp"

namespace fleetward::notifier {
namespace {

using namespace testing_support;  // the fixture is there for this file
using ::testing::HasSubstr;
using ::testing::SizeIs;

// An authority and a server certificate for 127.0.0.1 and localhost.
struct TestAuthority {
  TestAuthority() {
    const auto root_key = *crypto::PrivateKey::generate();
    root_pem = *pki::make_root(root_key, "Test root", now(), std::chrono::hours(1), random);
    const auto issuing_key = *crypto::PrivateKey::generate();
    const auto issuing = *pki::make_issuing({root_key, root_pem}, issuing_key.public_key(), "Test issuing", now(),
                                            std::chrono::hours(1), random);
    const auto key = *crypto::PrivateKey::generate();
    pki::LeafRequest request;
    request.purpose = pki::Purpose::server;
    request.common_name = "localhost";
    request.dns_names = {"localhost"};
    request.ip_addresses = {"127.0.0.1"};
    request.lifetime = std::chrono::hours(1);
    const auto pem = *pki::issue({issuing_key, issuing}, key.public_key(), request, now(), random);
    tls = *net::TlsContext::for_server({.certificate_chain_pem = pem + issuing, .private_key_pem = key.to_pem()});
  }
  crypto::SystemRandom random;
  std::string root_pem;
  std::shared_ptr<const net::TlsContext> tls;
};

// Keeps what it was sent. On a thread of its own, so that it can be slow without the notifier.
class Receiver {
 public:
  explicit Receiver(std::shared_ptr<const net::TlsContext> tls = nullptr, std::uint16_t port = 0)
      : tls_(tls != nullptr) {
    async::run_on(loop_, [&] {
      auto opened = http::Server::open(
          loop_, {"127.0.0.1", port}, std::move(tls), [this](http::Request r) { return handle(std::move(r)); },
          metrics_);
      EXPECT_TRUE(opened.ok()) << opened.error().message;
      server_ = std::move(*opened);
    });
  }
  ~Receiver() {
    server_->stop(Millis(10'000));
    async::run_on(loop_, [this] { server_.reset(); });
  }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] std::string url(const std::string& host = "127.0.0.1") const {
    return fmt::format("{}://{}:{}/hook?a=b", tls_ ? "https" : "http", host, port());
  }
  std::vector<http::Request> got() {
    std::vector<http::Request> out;
    async::run_on(loop_, [&] { out = got_; });
    return out;
  }
  [[nodiscard]] bool has(std::size_t count) {
    return wait_until([&] { return got().size() >= count; });
  }
  std::string header(std::size_t index, std::string_view name) {
    const auto all = got();
    const std::string* value = index < all.size() ? all[index].header(name) : nullptr;
    return value == nullptr ? "" : *value;
  }
  json::Value body(std::size_t index) { return *json::parse(got().at(index).body); }

  std::atomic<int> status{204};
  std::string retry_after;                // set before it is asked
  std::string location;                   // likewise
  std::atomic<const char*> bad{nullptr};  // a body that has this is answered with 500

 private:
  async::Task<http::Response> handle(http::Request request) {
    const char* word = bad;
    const bool is_bad = word != nullptr && request.body.find(word) != std::string::npos;
    got_.push_back(std::move(request));
    http::Response response = http::text_response(is_bad ? 500 : status.load(), "");
    if (!retry_after.empty()) response.headers.push_back({"Retry-After", retry_after});
    if (!location.empty()) response.headers.push_back({"Location", location});
    co_return response;
  }
  bool tls_;
  async::LoopThread loop_{"receiver"};
  metrics::Registry metrics_;
  std::unique_ptr<http::Server> server_;
  std::vector<http::Request> got_;
};

class WebhookTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("fw_webhook_{}_{}", ::getpid(), counter_++);
    fs::create_directories(dir_);
    install();
  }
  void TearDown() override {
    fw_.reset();
    fs::remove_all(dir_);
  }
  void install() {
    fw_.reset();
    fw_ = std::make_unique<Installation>(dir_);
  }
  static connect::WebhookConfig hook(const std::string& url) {
    return {.url = url, .secrets = {Bytes(32, 7)}, .allow_private = true};
  }
  void start(std::vector<connect::WebhookConfig> hooks) {
    NotifierConfig c;
    c.webhooks = std::move(hooks);
    c.link_base = "https://fleetward.test/v1/incidents/";
    c.refresh = Millis(50);
    fw_->start(c);
  }
  std::uint64_t webhooks(const std::string& result) {
    return fw_->metrics.counter("fleetward_notifier_webhooks_total", "", {{"result", result}}).value();
  }

  fs::path dir_;
  std::unique_ptr<Installation> fw_;
  static inline int counter_ = 0;
};

TEST_F(WebhookTest, EachChangeIsToldOnceAndSigned) {
  Receiver receiver;
  start({hook(receiver.url())});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(receiver.has(1));
  const http::Request first = receiver.got()[0];
  EXPECT_EQ(first.method, "POST");
  EXPECT_EQ(first.target, "/hook?a=b");
  const std::string seconds = receiver.header(0, "webhook-timestamp");
  EXPECT_LT(std::abs(std::stoll(seconds) - to_ms(now()) / 1000), 60);
  EXPECT_EQ(
      receiver.header(0, "webhook-signature"),
      connect::webhook_signatures({Bytes(32, 7)}, receiver.header(0, "webhook-id"), std::stoll(seconds), first.body));
  const json::Value body = receiver.body(0);
  EXPECT_EQ(body["type"], "fleetward.incident.open");
  EXPECT_THAT(body["data"]["summary"].get<std::string>(), HasSubstr("cam1 looks compromised"));
  const auto id = body["data"]["incident"]["id"].get<std::string>();
  EXPECT_EQ(body["data"]["link"], "https://fleetward.test/v1/incidents/" + id);

  fw_->append(step("a1", "cam1", ActionState::in_effect, 2));
  ASSERT_TRUE(receiver.has(2));
  EXPECT_NE(receiver.header(1, "webhook-id"), receiver.header(0, "webhook-id"));
  fw_->append(step("a1", "cam1", ActionState::released, 3));
  ASSERT_TRUE(receiver.has(3));
  EXPECT_EQ(receiver.body(2)["type"], "fleetward.incident.closed");
  EXPECT_EQ(receiver.body(2)["data"]["incident"]["id"], id);
  install();  // stopped and started anew: it has all of it
  start({hook(receiver.url())});
  fw_->append(step("b1", "cam2", ActionState::executing));
  ASSERT_TRUE(receiver.has(4));
  EXPECT_THAT(receiver.got(), SizeIs(4)) << "nothing was told again, neither by the minute nor after the start";
}

TEST_F(WebhookTest, WhatFailsIsSentAgainUnderTheSameId) {
  Receiver receiver;
  receiver.status = 503;
  start({hook(receiver.url())});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(receiver.has(2));
  receiver.status = 200;
  ASSERT_TRUE(wait_until([&] { return webhooks("delivered") == 1; }));
  const auto all = receiver.got();
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_EQ(receiver.header(i, "webhook-id"), receiver.header(0, "webhook-id"));
    EXPECT_EQ(all[i].body, all[0].body);
  }
}

TEST_F(WebhookTest, ItWaitsAsLongAsTheReceiverAsks) {
  Receiver receiver;
  receiver.status = 429;
  receiver.retry_after = "3600";
  start({hook(receiver.url())});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(receiver.has(1));
  fw_->append(step("b1", "cam2", ActionState::executing));
  ASSERT_TRUE(wait_until([&] { return fw_->incidents()[0].members.size() == 2; }));
  fw_->notifier->stop(Millis(10'000));  // its tasks have all had their turn
  EXPECT_THAT(receiver.got(), SizeIs(1));
}

TEST_F(WebhookTest, OneThatIsAwayHoldsUpNobodyElse) {
  std::uint16_t port = free_port();
  Receiver good;
  start({hook(fmt::format("http://127.0.0.1:{}/hook", port)), hook(good.url())});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(good.has(1));
  ASSERT_TRUE(wait_until([&] { return webhooks("failed") >= 2; }));
  fw_->append(step("a1", "cam1", ActionState::in_effect, 2));
  ASSERT_TRUE(good.has(2));
  fw_->append(step("a1", "cam1", ActionState::released, 3));
  ASSERT_TRUE(good.has(3));
  Receiver back(nullptr, port);
  ASSERT_TRUE(back.has(1)) << "an incident that began and ended meanwhile is told, as it is now";
  EXPECT_EQ(back.body(0)["type"], "fleetward.incident.closed");
  EXPECT_EQ(back.header(0, "webhook-id"), good.header(2, "webhook-id"));
}

TEST_F(WebhookTest, AMessageThatItCannotTakeStandsInNobodysWay) {
  Receiver receiver;
  receiver.bad = "poison";
  start({hook(receiver.url())});
  auto poison = step("a1", "cam1", ActionState::executing);
  poison.action.entry = "poison";
  fw_->append(poison);
  ASSERT_TRUE(receiver.has(2));
  fw_->append(step("b1", "cam2", ActionState::executing));
  ASSERT_TRUE(wait_until([&] { return webhooks("delivered") == 1; }));
}

TEST_F(WebhookTest, OneThatIsRefusedForGoodIsToldAgainWhenItChanges) {
  Receiver receiver;
  receiver.status = 400;
  start({hook(receiver.url())});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(receiver.has(1));
  ASSERT_TRUE(wait_until([&] { return webhooks("failed") == 1; }));
  receiver.status = 200;
  fw_->append(step("a1", "cam1", ActionState::in_effect, 2));
  ASSERT_TRUE(wait_until([&] { return webhooks("delivered") == 1; }));
  EXPECT_THAT(receiver.got(), SizeIs(2));
}

TEST_F(WebhookTest, RedirectsAndPrivateAddressesAreNotFollowed) {
  const TestAuthority authority;
  Receiver inner;
  Receiver redirecting;
  redirecting.status = 307;
  redirecting.location = inner.url();
  Receiver local(authority.tls);
  connect::WebhookConfig strict = hook(local.url("localhost"));
  strict.ca_pem = authority.root_pem;
  strict.allow_private = false;
  start({hook(redirecting.url()), strict});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(redirecting.has(2)) << "asked again: the redirect may be mended";
  ASSERT_TRUE(wait_until([&] { return webhooks("failed") >= 4; }));
  EXPECT_THAT(inner.got(), SizeIs(0));
  EXPECT_THAT(local.got(), SizeIs(0));
}

TEST_F(WebhookTest, OverTlsTheReceiverIsCheckedByItsName) {
  const TestAuthority authority;
  const TestAuthority other;
  Receiver by_name(authority.tls);
  Receiver stranger(other.tls);
  connect::WebhookConfig good = hook(by_name.url("localhost"));
  good.ca_pem = authority.root_pem;
  connect::WebhookConfig bad = hook(stranger.url());
  bad.ca_pem = authority.root_pem;
  start({good, bad});
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(by_name.has(1));
  EXPECT_EQ(by_name.header(0, "Host"), fmt::format("localhost:{}", by_name.port()));
  ASSERT_TRUE(wait_until([&] { return webhooks("failed") >= 1; }));
  EXPECT_THAT(stranger.got(), SizeIs(0));
}

TEST_F(WebhookTest, AnAlertmanagerOverTlsIsPagedWhenItIsTrusted) {
  const TestAuthority authority;
  const TestAuthority other;
  Receiver alertmanager(authority.tls);
  alertmanager.status = 200;
  NotifierConfig c;
  c.alertmanagers = {fmt::format("https://localhost:{}", alertmanager.port())};
  c.alertmanager_ca_pem = other.root_pem;
  fw_->start(c);
  fw_->append(step("a1", "cam1", ActionState::executing));
  ASSERT_TRUE(wait_until([&] { return fw_->pages("failed") >= 1; }));
  EXPECT_THAT(alertmanager.got(), SizeIs(0));
  install();
  c.alertmanager_ca_pem = authority.root_pem;
  fw_->start(c);
  ASSERT_TRUE(alertmanager.has(1));
  EXPECT_EQ(alertmanager.got()[0].target, "/api/v2/alerts");
}

TEST_F(WebhookTest, WhatWasOverBeforeItCameIsNoNews) {
  ASSERT_TRUE(
      fw_->fold({step("a1", "cam1", ActionState::executing), step("a1", "cam1", ActionState::released, 2)}).ok());
  ASSERT_THAT(fw_->incidents(false), SizeIs(1));
  Receiver receiver;
  start({hook(receiver.url())});
  auto fresh = step("b1", "cam2", ActionState::executing);
  fresh.action.entry = "another-entry";
  fw_->append(fresh);
  ASSERT_TRUE(receiver.has(1));
  EXPECT_EQ(receiver.body(0)["data"]["incident"]["entry"], "another-entry");
  fw_->notifier->stop(Millis(10'000));
  EXPECT_THAT(receiver.got(), SizeIs(1));
}

TEST_F(WebhookTest, KilledBetweenThePostAndItsRecordItSendsTheSameId) {
  Receiver receiver;
  fw_->append(step("a1", "cam1", ActionState::executing));
  fw_.reset();
  Program killed({"/proc/self/exe", "--gtest_filter=WebhookUntilKilled.*"}, dir_ / "child.log",
                 {"FLEETWARD_FAULT=notifier.after_webhook", "WEBHOOK_TEST_FOLDER=" + dir_.string(),
                  "WEBHOOK_TEST_URL=" + receiver.url()});
  const int status = killed.wait();
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the fault point was not reached: " << status;
  ASSERT_THAT(receiver.got(), SizeIs(1));
  install();
  start({hook(receiver.url())});
  ASSERT_TRUE(receiver.has(2));
  EXPECT_EQ(receiver.header(1, "webhook-id"), receiver.header(0, "webhook-id"));
}

// The child of the test above, which ends at the fault point. Run by itself it has nothing to do.
TEST(WebhookUntilKilled, RunsInTheFolderItIsGiven) {
  const char* folder = std::getenv("WEBHOOK_TEST_FOLDER");
  const char* url = std::getenv("WEBHOOK_TEST_URL");
  if (folder == nullptr || url == nullptr) return;
  Installation fw{fs::path(folder)};
  NotifierConfig c;
  c.webhooks = {{.url = url, .secrets = {Bytes(32, 7)}, .allow_private = true}};
  fw.start(c);
  wait_until([] { return false; });
}

TEST(WebhookMessage, ManyMembersAreCutAndCounted) {
  fleet::Incident incident;
  incident.id = "i1";
  incident.window_start = now();
  for (int i = 0; i < 300; ++i) incident.members.push_back({fmt::format("a{}", i), fmt::format("cam{}", i)});
  const auto message = webhook_message(incident, "", now());
  const auto body = *json::parse(message.body);
  EXPECT_EQ(body["data"]["incident"]["members"].size(), members_told_max);
  EXPECT_EQ(body["data"]["incident"]["memberCount"], 300);
  EXPECT_FALSE(body["data"].contains("link"));
  EXPECT_LT(message.body.size(), 20'000U) << "what the specification advises";
  incident.revision = 1;
  EXPECT_NE(webhook_message(incident, "", now()).id, message.id);
}

}  // namespace
}  // namespace fleetward::notifier
