// The reader of others' CRLs as a whole: openssl's CAs, real files and HTTP, a real store.
#include "services/pki/crl_feeds.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <mutex>

#include "async/eventually.hpp"
#include "http/server.hpp"
#include "pki/crl_view.hpp"
#include "pki/openssl_ca.hpp"
#include "repository/authority_feed.hpp"
#include "repository/migrations.hpp"
#include "store/run_and_wait.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::pki_role {
namespace {

using fleet::AuthorityStatus;
using fleet::CertificateStatus;
using pki::testing_support::OpensslCa;
using repository::AuthorityRow;
using Tx = store::Transaction;

class CrlFeedsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "crl-feeds-").string() + std::string(6, 'X');
    folder_ = ::mkdtemp(pattern.data());
    auto opened = store::open_sqlite_store(folder_ + "/store.db", metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
    ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
    std::filesystem::create_directories(folder_ + "/lists");
    ca_ = std::make_unique<OpensslCa>(folder_ + "/acme", "/CN=Acme");
    id_ = enlist(*ca_);
    config_.folder = folder_ + "/lists";
    config_.look_every = Millis(10);
    config_.retry_min = Millis(20);
    config_.retry_max = Millis(100);
    config_.download_limit = Millis(5'000);
    config_.allow_private = true;
  }
  void TearDown() override {
    if (feeds_) feeds_->stop(Millis(10'000));
    feeds_.reset();
    if (server_) server_->stop(Millis(5'000));
    async::run_on(web_, [this] { server_.reset(); });
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start() {
    feeds_ = std::make_unique<CrlFeeds>(config_, *store_, metrics_);
    ASSERT_TRUE(feeds_->start().ok());
  }

  template <class T>
  Result<T> in_store(const std::function<Result<T>(Tx&)>& work) {
    return store::run_and_wait<T>(*store_, work);
  }
  Status change(const std::function<Status(Tx&)>& work) { return in_store<void>(work); }
  std::string enlist(const OpensslCa& ca) {
    const auto info = pki::read_authority(ca.pem(), now());
    EXPECT_TRUE(change([&](Tx& tx) {
                  return repository::register_authority(tx, *info, AuthorityStatus::active, "SNI_ONLY", now());
                }).ok());
    return info->certificate.fingerprint;
  }
  void read_from(const std::string& source, Millis every = std::chrono::hours(1)) {
    EXPECT_TRUE(change([&](Tx& tx) { return repository::set_feed(tx, id_, source, every, now()); }).ok());
  }
  std::string take(const std::string& name, const std::string& serial = "") {
    const std::string pem = ca_->issue(name, serial);
    const auto taken = in_store<repository::RegisteredCertificate>(
        [&](Tx& tx) { return repository::register_certificate(tx, pem, "", CertificateStatus::active, now()); });
    EXPECT_TRUE(taken.ok()) << (taken.ok() ? "" : taken.error().message);
    return taken.ok() ? taken->id : "";
  }
  CertificateStatus status(const std::string& id) {
    return (**in_store<std::optional<repository::CertificateRow>>(
                [&](Tx& tx) { return repository::find_certificate(tx, id); }))
        .status;
  }
  AuthorityRow row() {
    return *in_store<AuthorityRow>([&](Tx& tx) { return repository::get_authority(tx, id_); });
  }
  static Instant now() {
    return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()) + std::chrono::seconds(1);
  }
  static bool eventually(const std::function<bool()>& holds) {
    return async::testing_support::eventually(holds, std::chrono::seconds(20));
  }
  // As a careful program does it: whole, in place of the old one.
  void put_file(const std::string& name, std::string_view bytes) const {
    const std::string path = folder_ + "/lists/" + name;
    std::ofstream(path + ".new", std::ios::binary) << bytes;
    std::filesystem::rename(path + ".new", path);
  }
  bool is_applied(const std::string& number) {
    return eventually([&] { return row().feed.number == number && row().feed.applied; });
  }
  bool is_told(const std::string& words) {
    return eventually([&] { return row().feed.error.find(words) != std::string::npos; });
  }
  std::uint64_t reads(const std::string& result) {
    return metrics_
        .counter("fleetward_pki_feed_reads_total", "Looks at CRLs of registered authorities.",
                 {{"authority", id_}, {"result", result}})
        .value();
  }

  // A web server that answers with what the test says.
  std::string serve() {
    async::run_on(web_, [this] {
      auto opened = http::Server::open(
          web_, {"127.0.0.1", 0}, nullptr, [this](http::Request r) { return answer(std::move(r)); }, metrics_);
      server_ = std::move(*opened);
    });
    return fmt::format("http://127.0.0.1:{}/list.crl", server_->port());
  }
  async::Task<http::Response> answer(http::Request request) {
    const std::lock_guard lock(mutex_);
    const std::string* known = request.header("If-None-Match");
    const std::string* tag = http::find_header(answer_.headers, "ETag");
    if (known != nullptr && tag != nullptr && *known == *tag) {
      ++not_modified_;
      co_return http::Response{304, {}, {}};
    }
    co_return answer_;
  }
  static async::Task<http::Response> hang(std::atomic<bool>& is_asked, async::Event& until) {
    is_asked = true;
    co_await until.wait(std::chrono::minutes(1));
    co_return http::Response{503, {}, {}};
  }
  void say(http::Response response) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(response);
  }

  std::string folder_;
  metrics::Registry metrics_;
  async::LoopThread web_{"web"};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<OpensslCa> ca_;
  std::string id_;
  CrlFeedsConfig config_;
  std::unique_ptr<CrlFeeds> feeds_;
  std::unique_ptr<http::Server> server_;
  std::mutex mutex_;
  http::Response answer_{404, {}, {}};
  std::atomic<int> not_modified_{0};
};

TEST_F(CrlFeedsTest, AFileIsReadAtOnceWhenItChanges) {
  const std::string a = take("a"), b = take("b");
  ca_->revoke("a");
  put_file("acme.crl", ca_->crl());
  read_from("acme.crl");
  start();
  ASSERT_TRUE(is_applied("0a")) << row().feed.error;
  EXPECT_EQ(status(a), CertificateStatus::revoked);
  EXPECT_EQ(status(b), CertificateStatus::active);
  ca_->revoke("b", "-crl_hold holdInstructionReject");
  put_file("acme.crl", ca_->crl_der());  // DER as well as PEM
  ASSERT_TRUE(is_applied("0b"));
  EXPECT_EQ(status(b), CertificateStatus::inactive);
  ca_->lift("b");
  put_file("acme.crl", ca_->crl());
  ASSERT_TRUE(is_applied("0c"));
  EXPECT_EQ(status(b), CertificateStatus::active);
  EXPECT_EQ(row().feed.entries, 1);
}

TEST_F(CrlFeedsTest, WhatIsNoGoodChangesNothingAndIsTold) {
  const std::string a = take("a");
  const OpensslCa namesake(folder_ + "/namesake", "/CN=Acme");
  put_file("acme.crl", ca_->crl());
  read_from("acme.crl");
  start();
  ASSERT_TRUE(is_applied("0a"));
  ca_->revoke("a");
  const std::string good = ca_->crl();
  for (const auto& [bytes, words] : std::vector<std::pair<std::string, std::string>>{
           {"", "neither DER nor PEM"},
           {namesake.crl(), "not signed by the issuer"},
           {ca_->crl("delta"), "delta CRL"},
           {ca_->crl_der().substr(0, 100), "not a CRL"},
           {std::string("\x30\x80") + std::string(40, 'x'), "not a CRL"}}) {
    put_file("acme.crl", bytes);
    EXPECT_TRUE(is_told(words)) << words << " / " << row().feed.error;
    EXPECT_EQ(row().feed.number, "0a");
    EXPECT_EQ(status(a), CertificateStatus::active);
  }
  std::filesystem::remove(folder_ + "/lists/acme.crl");
  EXPECT_TRUE(is_told("No such file"));
  std::filesystem::create_directory(folder_ + "/lists/acme.crl");
  EXPECT_TRUE(is_told("no plain file"));
  std::filesystem::remove(folder_ + "/lists/acme.crl");
  EXPECT_GT(reads("failed"), 0U);
  put_file("acme.crl", good);
  EXPECT_TRUE(is_applied("0b"));
  EXPECT_EQ(status(a), CertificateStatus::revoked);
  EXPECT_EQ(row().feed.error, "");
}

TEST_F(CrlFeedsTest, AnOlderListIsIgnored) {
  const std::string a = take("a");
  const std::string older = ca_->crl();
  ca_->revoke("a");
  put_file("acme.crl", ca_->crl());
  read_from("acme.crl");
  start();
  ASSERT_TRUE(is_applied("0b"));
  put_file("acme.crl", older);
  EXPECT_TRUE(is_told("older"));
  EXPECT_EQ(status(a), CertificateStatus::revoked);
}

TEST_F(CrlFeedsTest, AnExpiredListStaysAndIsMeasured) {
  const std::string a = take("a");
  ca_->revoke("a");
  put_file("acme.crl", ca_->crl("list", "-crl_lastupdate 20260101000000Z -crl_nextupdate 20260201000000Z"));
  read_from("acme.crl");
  start();
  ASSERT_TRUE(is_applied("0a")) << row().feed.error;
  EXPECT_EQ(status(a), CertificateStatus::revoked);
  auto& expired = metrics_.gauge("fleetward_pki_feed_expired", "", {{"authority", id_}});
  EXPECT_TRUE(eventually([&] { return expired.value() == 1; }));
  put_file("acme.crl", ca_->crl());
  ASSERT_TRUE(is_applied("0b"));
  EXPECT_TRUE(eventually([&] { return expired.value() == 0; }));
  put_file("acme.crl", ca_->crl("list", "-crl_lastupdate 20990101000000Z -crl_nextupdate 20990201000000Z"));
  EXPECT_TRUE(is_told("of the future"));
}

TEST_F(CrlFeedsTest, AnAddressIsAskedAtItsPeriodAndTriedAgain) {
  const std::string a = take("a");
  read_from(serve(), Millis(20));
  start();
  EXPECT_TRUE(is_told("answers 404"));
  say({301, {{"Location", "http://127.0.0.1:1/"}}, {}});
  EXPECT_TRUE(is_told("redirects are not followed"));
  say({200, {}, {}});
  EXPECT_TRUE(is_told("the answer is empty"));
  say({200, {{"ETag", "\"1\""}}, ca_->crl_der()});
  ASSERT_TRUE(is_applied("0a"));
  EXPECT_TRUE(eventually([&] { return not_modified_ > 2; })) << "what it has is not sent again";
  EXPECT_EQ(reads("applied"), 1U);
  ca_->revoke("a");
  say({200, {{"ETag", "\"2\""}}, ca_->crl()});
  ASSERT_TRUE(is_applied("0b"));
  EXPECT_EQ(status(a), CertificateStatus::revoked);
  say({500, {}, "down"});
  EXPECT_TRUE(is_told("answers 500"));
  EXPECT_EQ(row().feed.number, "0b");
}

// Another place for a moment, which the reader does not get to see: the store has forgotten the list.
TEST_F(CrlFeedsTest, WhatTheStoreHasForgottenIsReadInFull) {
  const std::string url = serve();
  read_from(url, Millis(20));
  say({200, {{"ETag", "\"1\""}}, ca_->crl_der()});
  start();
  ASSERT_TRUE(is_applied("0a"));
  ASSERT_TRUE(eventually([&] { return not_modified_ > 0; }));
  ASSERT_TRUE(change([&](Tx& tx) {
                const Status away = repository::set_feed(tx, id_, "other.crl", std::chrono::hours(1), now());
                return away ? repository::set_feed(tx, id_, url, std::chrono::hours(1), now()) : away;
              }).ok());
  EXPECT_TRUE(is_applied("0a")) << row().feed.error;
  EXPECT_EQ(reads("applied"), 2U);
}

TEST_F(CrlFeedsTest, AnAddressThatHangsHoldsNoFileUp) {
  async::Event never{web_};
  std::atomic<bool> is_asked{false};
  async::run_on(web_, [&] {
    auto opened = http::Server::open(
        web_, {"127.0.0.1", 0}, nullptr, [&](http::Request) { return hang(is_asked, never); }, metrics_);
    server_ = std::move(*opened);
  });
  config_.download_limit = std::chrono::minutes(1);
  read_from(fmt::format("http://127.0.0.1:{}/list.crl", server_->port()));
  start();
  ASSERT_TRUE(eventually([&] { return is_asked.load(); }));
  const OpensslCa other(folder_ + "/other", "/CN=Other");
  id_ = enlist(other);
  put_file("b.crl", other.crl());
  read_from("b.crl");
  EXPECT_TRUE(is_applied("0a"));
  feeds_->stop(Millis(1));
  feeds_.reset();
  never.notify();
}

TEST_F(CrlFeedsTest, ADownloadThatHangsIsLeftBehindAtTheStop) {
  async::Event never{web_};
  std::atomic<bool> is_asked{false};
  async::run_on(web_, [&] {
    auto opened = http::Server::open(
        web_, {"127.0.0.1", 0}, nullptr, [&](http::Request) { return hang(is_asked, never); }, metrics_);
    server_ = std::move(*opened);
  });
  read_from(fmt::format("http://127.0.0.1:{}/list.crl", server_->port()));
  start();
  ASSERT_TRUE(eventually([&] { return is_asked.load(); }));
  feeds_->stop(Millis(1));
  feeds_.reset();
  never.notify();
  EXPECT_EQ(row().feed.error, "") << "it was cut short, not refused";
}

TEST_F(CrlFeedsTest, PrivateAddressesOnlyWhereTheOperatorSaysSo) {
  config_.allow_private = false;
  read_from(serve());
  start();
  EXPECT_TRUE(is_told("not of the public internet"));
}

TEST_F(CrlFeedsTest, SeveralAtOnceAndOneThatGoes) {
  const OpensslCa other(folder_ + "/other", "/CN=Other");
  std::string first = id_;
  put_file("a.crl", ca_->crl());
  read_from("a.crl");
  id_ = enlist(other);
  put_file("b.crl", other.crl());
  read_from("b.crl");
  start();
  ASSERT_TRUE(is_applied("0a"));
  std::swap(id_, first);
  ASSERT_TRUE(is_applied("0a"));
  auto& next = metrics_.gauge("fleetward_pki_feed_next_update_seconds", "", {{"authority", id_}});
  EXPECT_TRUE(eventually([&] { return next.value() > 0; }));
  ASSERT_TRUE(change([&](Tx& tx) {
                const Status off = repository::set_authority_status(tx, id_, AuthorityStatus::inactive, now());
                return off ? repository::delete_authority(tx, id_, now()) : off;
              }).ok());
  EXPECT_TRUE(eventually([&] { return next.value() == 0; }));
}

// What was begun and cut short goes on at the next start, and the certificates of a large list are found.
TEST_F(CrlFeedsTest, ManyEntries) {
  constexpr int count = 20'000;
  const pki::Issuer issuer{*crypto::PrivateKey::from_pem(ca_->key_pem("ca")), ca_->pem()};
  std::vector<pki::RevokedEntry> entries;
  for (int i = 0; i < count; ++i) entries.push_back({fmt::format("{:040x}", 0x7000'0000LL + i * 17LL), now(), {}});
  const std::string last = take("last", fmt::format("{:040X}", 0x7000'0000LL + (count - 1) * 17LL));
  const std::string not_in_it = take("not-in-it", fmt::format("{:040X}", 0x7000'0001LL));
  const auto der = pki::make_crl(issuer, entries, 5, now() - std::chrono::hours(1), now() + std::chrono::hours(1));
  ASSERT_TRUE(der.ok());
  put_file("acme.crl", as_text(*der));
  // As another process left it, in the midst of it.
  const auto view = *pki::CrlView::open(*der, ca_->pem());
  read_from("acme.crl");
  ASSERT_TRUE(change([&](Tx& tx) -> Status {
                const auto begun = repository::begin_feed(tx, id_,
                                                          {view.number(), crypto::sha256_hex(ByteView(*der)),
                                                           view.this_update(), view.next_update(), count, "acme.crl"},
                                                          now());
                return begun.ok() ? Status() : Status(begun.error());
              }).ok());
  start();
  ASSERT_TRUE(is_applied("05")) << row().feed.error;
  EXPECT_EQ(row().feed.entries, count);
  EXPECT_EQ(status(last), CertificateStatus::revoked);
  EXPECT_EQ(status(not_in_it), CertificateStatus::active);
}

}  // namespace
}  // namespace fleetward::pki_role
