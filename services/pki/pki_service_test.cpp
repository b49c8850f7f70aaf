// The role as a whole: asked through the store, judged by openssl over real HTTP.
#include "services/pki/pki_service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "async/eventually.hpp"
#include "core/fault.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/migrations.hpp"
#include "repository/signing_client.hpp"
#include "services/pki/authority_files.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::pki_role {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Tx = store::Transaction;
constexpr std::chrono::seconds deadline{10};

std::string run(const std::string& command) {
  FILE* pipe = ::popen(("{ " + command + "; echo exit $?; } 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  ::pclose(pipe);
  return out;
}

class PkiServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "pki-role-").string() + std::string(6, 'X');
    folder_ = ::mkdtemp(pattern.data());
    ASSERT_TRUE(bootstrap_authority(folder_, {"localhost"}, loop_.now(), random_).ok());
    auto opened = store::open_sqlite_store(folder_ + "/store.db", metrics_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    store_ = std::move(*opened);
    ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
    config_.folder = folder_;
    config_.port = 0;
    start();
  }
  void TearDown() override {
    stop();
    loop_.stop();
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  void start() {
    service_ = std::make_unique<PkiService>(config_, *store_, loop_, metrics_);
    const Status started = service_->start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    ASSERT_TRUE(eventually([&] { return service_->ready().ok(); }));
    url_ = fmt::format("http://127.0.0.1:{}", service_->port());
  }
  void stop() {
    if (service_) service_->stop(Millis(10'000));
    service_.reset();
  }
  static bool eventually(const std::function<bool()>& holds) {
    return async::testing_support::eventually(holds, deadline);
  }
  Status change(const std::function<Status(Tx&)>& work) {
    std::promise<Status> done;
    store_->run(work, [&done](const Status& s) { done.set_value(s); });
    return done.get_future().get();
  }
  // As the API asks; the certificate is in NAME.crt, its key in NAME.key. Its id, or the error.
  Result<std::string> enrol(const std::string& thing, bool probe = false) {
    const auto key = crypto::PrivateKey::generate();
    repository::SigningRequest request{random_.hex(16), probe, thing, "id", key->public_key().to_pem(), true};
    const auto pem = sign(std::move(request));
    if (!pem) return pem.error();
    std::ofstream(path(thing + ".crt")) << *pem;
    std::ofstream(path(thing + ".key")) << key->to_pem();
    return pki::read_certificate(*pem)->fingerprint;
  }
  Result<std::string> sign(repository::SigningRequest request) {
    const auto promise = std::make_shared<std::promise<Result<std::string>>>();
    async::run_on(loop_, [&] { scope_.spawn("sign", await_signature(*store_, loop_, std::move(request), promise)); });
    return promise->get_future().get();
  }
  static async::Task<void> await_signature(store::Store& store, async::Scheduler& scheduler,
                                           repository::SigningRequest request,
                                           std::shared_ptr<std::promise<Result<std::string>>> promise) {
    Result<std::string> pem = co_await repository::sign(store, scheduler, std::move(request), Millis(10'000));
    promise->set_value(std::move(pem));
  }
  Status revoke(const std::string& id) {
    return change([&](Tx& tx) {
      return repository::revoke_certificate(tx, id, pki::RevocationReason::key_compromise, loop_.now());
    });
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::string get(const std::string& target, const std::string& options = "") const {
    return run(fmt::format("curl -s -D - -o '{}' {} '{}{}'", path("body"), options, url_, target));
  }
  std::string body() const {
    std::ifstream in(path("body"), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::string served_crl() const {
    get("/crl/issuing.crl");
    return body();
  }
  // Of `openssl verify -crl_check` against the CRL that is served.
  std::string verify(const std::string& thing) const {
    return run(
        fmt::format("cd {} && curl -s {}/crl/issuing.crl | openssl crl -inform DER -out crl.pem && "
                    "openssl verify -x509_strict -crl_check -CAfile root.crt -untrusted issuing.crt -CRLfile "
                    "crl.pem {}.crt",
                    folder_, url_, thing));
  }
  std::string ask_ocsp(const std::string& thing, const std::string& options = "") const {
    return run(fmt::format("cd {} && openssl ocsp {} -issuer issuing.crt -cert {}.crt -url {}/ocsp -CAfile root.crt",
                           folder_, options, thing, url_));
  }
  std::string metric(const std::string& name) const {
    const std::string text = metrics_.to_prometheus_text();
    const auto at = text.find("\n" + name + " ");
    return at == std::string::npos ? ""
                                   : text.substr(at + 2 + name.size(), text.find('\n', at + 1) - at - 2 - name.size());
  }

  std::string folder_, url_;
  crypto::SystemRandom random_;
  metrics::Registry metrics_;
  async::LoopThread loop_{"pki-test"};
  async::Scope scope_{loop_, "test"};
  std::unique_ptr<store::Store> store_;
  PkiConfig config_;
  std::unique_ptr<PkiService> service_;
};

TEST_F(PkiServiceTest, SignsRevokesAndTheWorldSeesIt) {
  const auto first = enrol("dev1");
  const auto second = enrol("dev2");
  ASSERT_TRUE(first.ok()) << first.error().message;
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(verify("dev1"), HasSubstr("dev1.crt: OK"));
  EXPECT_THAT(ask_ocsp("dev1"),
              AllOf(HasSubstr("Response verify OK"), HasSubstr("dev1.crt: good"), Not(HasSubstr("WARNING"))));
  EXPECT_THAT(
      run(fmt::format("openssl x509 -in {} -noout -text", path("dev1.crt"))),
      AllOf(HasSubstr(config_.public_url + "/crl/issuing.crl"), HasSubstr("OCSP - URI:" + config_.public_url + "/ocsp"),
            HasSubstr("urn:fleetward:thing:dev1"), HasSubstr("TLS Web Client Authentication")));

  ASSERT_TRUE(revoke(*first).ok());
  EXPECT_THAT(ask_ocsp("dev1", "-sha256"),
              AllOf(HasSubstr("Response verify OK"), HasSubstr("dev1.crt: revoked"), HasSubstr("keyCompromise")));
  EXPECT_TRUE(eventually([&] { return verify("dev1").find("certificate revoked") != std::string::npos; }));
  EXPECT_THAT(verify("dev2"), HasSubstr("dev2.crt: OK"));
  EXPECT_THAT(run(fmt::format("cd {0} && ocsptool --ask={1}/ocsp --load-cert=dev1.crt --load-issuer=issuing.crt "
                              "--load-trust=root.crt",
                              folder_, url_)),
              HasSubstr("revoked"));
  EXPECT_THAT(run(fmt::format("cd {0} && cat issuing.crt root.crt > cas.pem && certtool --verify --infile dev1.crt "
                              "--load-ca-certificate cas.pem --load-crl crl.pem",
                              folder_)),
              HasSubstr("revoked"));
}

TEST_F(PkiServiceTest, InactiveIsNotInTheCrl) {
  const auto id = enrol("dev1");
  ASSERT_TRUE(change([&](Tx& tx) {
                return repository::set_certificate_status(tx, *id, fleet::CertificateStatus::inactive, loop_.now());
              }).ok());
  EXPECT_THAT(verify("dev1"), HasSubstr("dev1.crt: OK"));
  EXPECT_THAT(ask_ocsp("dev1"), HasSubstr("dev1.crt: good"));
}

TEST_F(PkiServiceTest, WhatWasNeverIssuedIsUnknownAndOthersAreUnauthorized) {
  EXPECT_THAT(run(fmt::format("cd {} && openssl ocsp -issuer issuing.crt -serial 0x1234 -url {}/ocsp -CAfile root.crt",
                              folder_, url_)),
              HasSubstr("0x1234: unknown"));
  EXPECT_THAT(run(fmt::format("cd {} && openssl ocsp -issuer root.crt -cert issuing.crt -url {}/ocsp -CAfile root.crt",
                              folder_, url_)),
              HasSubstr("unauthorized"));
  ASSERT_TRUE(enrol("dev1", true).ok()) << "a probe";
  EXPECT_THAT(ask_ocsp("dev1"), HasSubstr("dev1.crt: unknown"));
  EXPECT_EQ(pki::probe_thing(*pki::read_certificate(*read_authority_file(folder_, "dev1.crt"))), "dev1");
}

TEST_F(PkiServiceTest, OcspByGetMayBeCachedByPostNot) {
  ASSERT_TRUE(enrol("dev1").ok());
  run(fmt::format("cd {} && openssl ocsp -no_nonce -issuer issuing.crt -cert dev1.crt -reqout request.der", folder_));
  std::ifstream in(path("request.der"), std::ios::binary);
  const std::string request(std::istreambuf_iterator<char>(in), {});
  const std::string headers = get("/ocsp/" + percent_encode(to_base64(as_bytes(request))));
  EXPECT_THAT(headers, AllOf(HasSubstr("200"), HasSubstr("application/ocsp-response"), HasSubstr("max-age")));
  EXPECT_THAT(run(fmt::format("cd {} && openssl ocsp -no_nonce -issuer issuing.crt -cert dev1.crt -respin body -CAfile "
                              "root.crt",
                              folder_)),
              HasSubstr("dev1.crt: good"));
  EXPECT_THAT(get("/ocsp", "--data-binary @" + path("request.der")), HasSubstr("no-store"));
  EXPECT_THAT(get("/ocsp/%2"), HasSubstr("400"));
  EXPECT_THAT(get("/ocsp/not*base64"), HasSubstr("400"));
  std::ofstream(path("large")) << std::string(pki::ocsp_request_bytes_max + 1, 'x');
  EXPECT_THAT(get("/ocsp", "--data-binary @" + path("large")), HasSubstr("413"));
}

TEST_F(PkiServiceTest, OcspSigningRateIsCapped) {
  stop();
  config_.ocsp_per_second_max = 0;
  start();
  ASSERT_TRUE(enrol("dev1").ok());
  EXPECT_THAT(ask_ocsp("dev1"), HasSubstr("trylater"));
  EXPECT_EQ(metric("fleetward_pki_ocsp_throttled_total"), "1");
}

TEST_F(PkiServiceTest, CrlIsServedWithValidators) {
  const std::string headers = get("/crl/issuing.crl");
  EXPECT_THAT(headers, AllOf(HasSubstr("200 OK"), HasSubstr("application/pkix-crl"), HasSubstr("Last-Modified: "),
                             HasSubstr("Cache-Control: "), HasSubstr("ETag: \"1\"")));
  for (const char* known : {"\"1\"", "W/\"1\"", "\"0\", \"1\"", "*"}) {
    EXPECT_THAT(get("/crl/issuing.crl", fmt::format("-H 'If-None-Match: {}'", known)), HasSubstr("304")) << known;
  }
  EXPECT_THAT(get("/crl/issuing.crl", "-H 'If-None-Match: \"2\"'"), HasSubstr("200"));
  for (const char* name : {"root.crt", "issuing.crt"}) {
    EXPECT_THAT(get(fmt::format("/ca/{}", name)), HasSubstr("200"));
    EXPECT_EQ(body(), *read_authority_file(folder_, name));
  }
  EXPECT_THAT(get("/ca/root.key"), HasSubstr("404"));
  EXPECT_THAT(get("/crl/../issuing.key", "--path-as-is"), HasSubstr("404"));
}

TEST_F(PkiServiceTest, CrlNumbersGoOnAfterARestart) {
  const auto id = enrol("dev1");
  const std::string before = served_crl();
  ASSERT_TRUE(revoke(*id).ok());
  ASSERT_TRUE(eventually([&] { return served_crl() != before; }));
  const std::string held = served_crl();
  const auto number = pki::read_crl(as_bytes(held), *read_authority_file(folder_, "issuing.crt"))->number;
  EXPECT_EQ(number, 2);
  stop();
  start();
  EXPECT_EQ(served_crl(), held) << "nothing has changed: the same bytes";
  EXPECT_THAT(metric("fleetward_pki_crl_validity_used_ratio"), Not(::testing::IsEmpty()));
}

TEST_F(PkiServiceTest, ReissuesOnItsOwn) {
  stop();
  config_.crl_every = Millis(1);
  start();
  EXPECT_TRUE(eventually([&] {
    const auto crl = pki::read_crl(as_bytes(served_crl()), *read_authority_file(folder_, "issuing.crt"));
    return crl.ok() && crl->number >= 3 && crl->next_update - crl->this_update == config_.crl_lifetime;
  }));
}

TEST_F(PkiServiceTest, BadRequestsAreAnsweredAndHoldNobodyUp) {
  EXPECT_EQ(sign({"bad", false, "dev1", "id", "no key", true}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(sign({"evil", false, "dev1,DNS:evil", "id", crypto::PrivateKey::generate()->public_key().to_pem(), true})
                .error()
                .code,
            ErrorCode::invalid_argument);
  EXPECT_TRUE(enrol("dev1").ok());
}

TEST_F(PkiServiceTest, ASecretThatOthersCanReadIsRefused) {
  stop();
  ::chmod(path("issuing.key").c_str(), 0644);
  PkiService refused(config_, *store_, loop_, metrics_);
  EXPECT_EQ(refused.start().error().code, ErrorCode::failed_precondition);
}

TEST_F(PkiServiceTest, RenewsItsRespondersCertificate) {
  stop();
  const auto issuing_key = crypto::PrivateKey::from_pem(*read_authority_file(folder_, "issuing.key", true));
  const pki::Issuer issuing{*issuing_key, *read_authority_file(folder_, "issuing.crt")};
  pki::LeafRequest request;
  request.purpose = pki::Purpose::responder;
  request.common_name = "old";
  request.lifetime = std::chrono::minutes(1);
  const auto ocsp_key = crypto::PrivateKey::from_pem(*read_authority_file(folder_, "ocsp.key", true));
  const auto old = pki::issue(issuing, ocsp_key->public_key(), request, loop_.now(), random_);
  ASSERT_TRUE(write_file(path("ocsp.crt"), *old, false).ok());
  start();
  ASSERT_TRUE(eventually([&] { return *read_authority_file(folder_, "ocsp.crt") != *old; }));
  ASSERT_TRUE(enrol("dev1").ok());
  EXPECT_THAT(ask_ocsp("dev1"), AllOf(HasSubstr("Response verify OK"), HasSubstr("good")));
}

// Runs this program again with the fault armed, for the points are read once a process.
TEST_F(PkiServiceTest, StaleCrlFaultServesThePreviousBytes) {
  if (!fault::is_armed("pki.serve_stale_crl")) {
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
    EXPECT_THAT(run(fmt::format("FLEETWARD_FAULT=pki.serve_stale_crl {} --gtest_filter=*StaleCrlFault*", self)),
                AllOf(HasSubstr("exit 0"), HasSubstr("[  PASSED  ] 1 test")));
    return;
  }
  const auto id = enrol("dev1");
  const std::string before = served_crl();
  ASSERT_TRUE(revoke(*id).ok());
  ASSERT_TRUE(eventually([&] { return metric("fleetward_pki_crl_number") == "2"; }));
  EXPECT_EQ(served_crl(), before);
  EXPECT_THAT(verify("dev1"), HasSubstr("dev1.crt: OK")) << "so that verification has something to find";
}

class BootstrapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "authority-").string() + std::string(6, 'X');
    base_ = ::mkdtemp(pattern.data());
    folder_ = base_ + "/data/pki";
  }
  void TearDown() override { std::filesystem::remove_all(base_); }
  Status bootstrap(Instant at, const std::vector<std::string>& names = {"localhost", "127.0.0.1"}) {
    return bootstrap_authority(folder_, names, at, random_);
  }
  std::string text(const std::string& name) const { return *read_authority_file(folder_, name); }

  std::string base_, folder_;
  crypto::SystemRandom random_;
  Instant now_ = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
};

TEST_F(BootstrapTest, MakesAllOnceAndKeysAreTheirOwners) {
  ASSERT_TRUE(bootstrap(now_).ok());
  std::map<std::string, std::string> first;
  for (const auto& file : std::filesystem::directory_iterator(folder_)) {
    const std::string name = file.path().filename();
    first[name] = text(name);
    const auto mode = static_cast<unsigned>(file.status().permissions());
    EXPECT_EQ(mode, name.ends_with(".key") ? 0600U : 0644U) << name;
  }
  for (const char* name :
       {"root.key", "root.crt", "issuing.key", "issuing.crt", "ocsp.key", "ocsp.crt", "server.key", "server.crt"}) {
    EXPECT_TRUE(first.contains(name)) << name;
  }
  EXPECT_EQ(static_cast<unsigned>(std::filesystem::status(folder_).permissions()), 0700U);
  ASSERT_TRUE(bootstrap(now_ + std::chrono::hours(24)).ok());
  for (const auto& [name, content] : first) EXPECT_EQ(text(name), content) << name;
  EXPECT_THAT(run(fmt::format("cd {} && openssl verify -x509_strict -CAfile root.crt -untrusted issuing.crt "
                              "-verify_ip 127.0.0.1 -purpose sslserver server.crt",
                              folder_)),
              HasSubstr("server.crt: OK"));
}

TEST_F(BootstrapTest, RenewsTheShortLivedWithoutTheRootsKey) {
  ASSERT_TRUE(bootstrap(now_).ok());
  std::filesystem::remove(folder_ + "/root.key");
  const auto root = text("root.crt"), issuing = text("issuing.crt"), ocsp = text("ocsp.crt"),
             server = text("server.crt");
  ASSERT_TRUE(bootstrap(now_ + std::chrono::hours(24 * 25)).ok());
  EXPECT_NE(text("ocsp.crt"), ocsp);
  EXPECT_EQ(text("server.crt"), server);
  ASSERT_TRUE(bootstrap(now_ + std::chrono::hours(24 * 70)).ok());
  EXPECT_NE(text("server.crt"), server);
  EXPECT_EQ(text("root.crt"), root);
  EXPECT_EQ(text("issuing.crt"), issuing);
  const auto renewed = text("server.crt");
  ASSERT_TRUE(bootstrap(now_ + std::chrono::hours(24 * 70), {"gateway.example"}).ok());
  EXPECT_NE(text("server.crt"), renewed) << "other names";
}

TEST_F(BootstrapTest, NeverSignsWithANewKeyUnderAnOldCertificate) {
  ASSERT_TRUE(bootstrap(now_).ok());
  std::filesystem::remove(folder_ + "/issuing.key");
  EXPECT_EQ(bootstrap(now_ + std::chrono::hours(24 * 80)).error().code, ErrorCode::failed_precondition);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/issuing.key"));
}

TEST_F(BootstrapTest, AFileLeftByACrashDoesNotOpenASecret) {
  std::filesystem::create_directories(folder_);
  std::ofstream(folder_ + "/root.key.new") << "half";
  ::chmod((folder_ + "/root.key.new").c_str(), 0666);
  ASSERT_TRUE(bootstrap(now_).ok());
  EXPECT_TRUE(read_authority_file(folder_, "root.key", true).ok());
}

}  // namespace
}  // namespace fleetward::pki_role
