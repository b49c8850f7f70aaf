// The authority that the responder's tests ask: signs what is requested in the store, serves CRL and OCSP over HTTP as
// the pki role does, and can be told to lie. Lives on its own loop; the switches may be set from any thread.
#pragma once

#include <atomic>
#include <mutex>

#include "async/scope.hpp"
#include "http/server.hpp"
#include "pki/certificate.hpp"
#include "pki/ocsp.hpp"
#include "repository/certificate_repository.hpp"

namespace fleetward::responder::testing_support {

inline Instant now() { return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now()); }

class TestAuthority {
 public:
  explicit TestAuthority(store::Store& store, metrics::Registry& metrics) : store_(store) {
    const auto root_key = *crypto::PrivateKey::generate();
    root_pem = *pki::make_root(root_key, "Test root", now(), std::chrono::hours(24), random_);
    issuer_ = make_issuer({root_key, root_pem}, "Test issuing");
    other_ = make_issuer({root_key, root_pem}, "Test issuing");  // the same name, another key
    const auto [pem, key] = make({.purpose = pki::Purpose::responder, .common_name = "OCSP"}, now());
    signer_ = pki::OcspSigner{key, pem, issuer_->certificate_pem};
    async::run_on(loop_, [&] {
      auto server = http::Server::open(
          loop_, {"127.0.0.1", 0}, nullptr, [this](http::Request request) { return handle(std::move(request)); },
          metrics);
      server_ = std::move(*server);
      wake_ = store_.listen(loop_, std::string(repository::pki_channel));
    });
    scope_.spawn("sign", sign());
  }
  ~TestAuthority() {
    scope_.request_stop();
    async::run_on(loop_, [this] { wake_->wake(); });
    scope_.join(Millis(10'000));
    server_->stop(Millis(5'000));
    async::run_on(loop_, [this] {
      server_.reset();
      wake_.reset();
    });
    loop_.stop();
  }

  // A certificate and its key, as of `at`.
  std::pair<std::string, crypto::PrivateKey> make(pki::LeafRequest request, Instant at) {
    const auto key = *crypto::PrivateKey::generate();
    if (request.lifetime == Millis(0)) request.lifetime = std::chrono::hours(1);
    return {*pki::issue(*issuer_, key.public_key(), request, at, random_), key};
  }
  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}", server_->port()); }
  [[nodiscard]] const std::string& issuing_pem() const { return issuer_->certificate_pem; }

  std::string root_pem;
  std::atomic<bool> signs{true};
  std::atomic<int> probes_ahead{0};           // of the thing cam: so many next ones are valid from an hour later on
  std::atomic<bool> crl_is_empty{false};      // holds nobody
  std::atomic<bool> crl_is_expired{false};    // its nextUpdate has passed
  std::atomic<bool> crl_is_of_other{false};   // signed by another key
  std::atomic<std::int64_t> crl_empty_to{0};  // holds nobody up to that number: the one issued after it is right
  std::atomic<std::int64_t> crl_number{0};
  std::atomic<bool> ocsp_says_good{false};
  std::atomic<bool> is_down{false};
  std::atomic<int> ocsp_asked{0};

 private:
  std::optional<pki::Issuer> make_issuer(const pki::Issuer& root, std::string_view name) {
    auto key = *crypto::PrivateKey::generate();
    auto pem = *pki::make_issuing(root, key.public_key(), name, now(), std::chrono::hours(24), random_);
    return pki::Issuer{key, pem};
  }

  async::Task<void> sign() {
    while (!scope_.stopping()) {
      const Instant at = now();
      std::function<Status(store::Transaction&)> work = [this, at](store::Transaction& tx) -> Status {
        const auto open = repository::open_signing_requests(tx, 100);
        if (!open || !signs) return open.ok() ? Status() : Status(open.error());
        for (const auto& request : *open) {
          pki::LeafRequest leaf;
          leaf.purpose = request.probe ? pki::Purpose::probe : pki::Purpose::device;
          leaf.common_name = request.thing;
          leaf.uris = {request.probe ? pki::probe_uri(request.thing) : pki::thing_uri(request.thing)};
          leaf.lifetime = std::chrono::minutes(5);
          const auto key = crypto::PublicKey::from_pem(request.public_key_pem);
          const bool is_ahead = request.probe && request.thing == "cam" && probes_ahead > 0 && probes_ahead-- > 0;
          const auto pem = pki::issue(*issuer_, *key, leaf, is_ahead ? at + std::chrono::hours(1) : at, random_);
          if (const Status done = repository::finish_signing(tx, request, *pem, "issuer", at); !done) return done;
        }
        return renew_crl(tx, at);
      };
      const Status done = co_await store::transact(store_, loop_, work);
      EXPECT_TRUE(done.ok()) << done.error().message;
      co_await wake_->wait(Millis(100));
    }
  }

  // A new number for each change, and whenever one is asked for, as the pki role has it.
  Status renew_crl(store::Transaction& tx, Instant at) {
    const auto count = repository::revocation_count(tx);
    if (!count) return count.error();
    const auto last = repository::load_crl(tx);
    if (!last) return last.error();
    if (*last && (**last).revocations == *count) return {};
    const repository::CrlRow next{*last ? (**last).number + 1 : 1, Bytes{0}, at, at + std::chrono::hours(1), *count};
    crl_number = next.number;
    return repository::save_crl(tx, next);
  }

  Result<Bytes> crl_now(store::Transaction& tx, Instant at) {
    const auto row = repository::load_crl(tx);
    if (!row) return row.error();
    const std::int64_t number = *row ? (**row).number : 0;
    auto entries = repository::revoked_entries(tx, at, Millis(0));
    if (!entries) return entries.error();
    if (crl_is_empty || number <= crl_empty_to) entries->clear();
    const Instant next = crl_is_expired ? at - Millis(60'000) : at + std::chrono::hours(1);
    return pki::make_crl(crl_is_of_other ? *other_ : *issuer_, *entries, number, at - std::chrono::hours(1), next);
  }

  async::Task<http::Response> handle(http::Request request) {
    if (is_down) co_return http::text_response(503, "down\n");
    const Instant at = now();
    const bool is_ocsp = request.path() == "/ocsp";
    if (is_ocsp) ++ocsp_asked;
    std::function<Result<Bytes>(store::Transaction&)> work = [&](store::Transaction& tx) -> Result<Bytes> {
      if (!is_ocsp) return crl_now(tx, at);
      const auto look_up = [&](const std::string& serial) -> pki::CertificateState {
        if (ocsp_says_good) return {pki::CertificateState::Kind::good, {}, {}};
        return *repository::state_of_serial(tx, serial);
      };
      return pki::answer_ocsp(to_bytes(request.body), *signer_, look_up, at, Millis(60'000)).der;
    };
    const Result<Bytes> body = co_await store::transact<Bytes>(store_, loop_, work);
    co_return body.ok() ? http::Response{200, {}, std::string(as_text(*body))} : http::text_response(503, "no\n");
  }

  store::Store& store_;
  crypto::SystemRandom random_;
  std::optional<pki::Issuer> issuer_, other_;
  std::optional<pki::OcspSigner> signer_;
  async::LoopThread loop_{"authority"};
  async::Scope scope_{loop_, "authority"};
  std::unique_ptr<store::Listener> wake_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace fleetward::responder::testing_support
