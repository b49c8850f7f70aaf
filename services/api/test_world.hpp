// A running Api for tests: real HTTPS on a loopback port, SQLite store and bus in a temporary folder, and an authority
// that signs what is asked for. Lives on the test's thread; its own threads end in TearDown().
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <future>

#include "auth/credentials.hpp"
#include "bus/bus.hpp"
#include "http/client.hpp"
#include "pki/certificate.hpp"
#include "repository/certificate_repository.hpp"
#include "services/api/api.hpp"
#include "services/api/operations.hpp"
#include "store/run_and_wait.hpp"

namespace fleetward::api {

struct Answer {
  int status = 0;
  json::Value body;  // null: empty
  http::Headers headers;
  [[nodiscard]] std::string error_type() const {
    const std::string* type = http::find_header(headers, "x-amzn-ErrorType");
    return type == nullptr ? std::string() : *type;
  }
  [[nodiscard]] std::string text() const { return json::dump(body); }
};

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // With the administrator's token, or another; an empty one sends none.
  Answer call(const std::string& method, const std::string& target, const std::string& body = {});
  Answer call_as(const std::string& token, const std::string& method, const std::string& target,
                 const std::string& body = {}, http::Headers headers = {});
  Answer send(http::ClientRequest request);
  // Signed as an AWS client does, but written anew.
  http::ClientRequest signed_request(const std::string& method, const std::string& target, const std::string& body,
                                     const auth::AccessKey& key, const std::string& region, Instant at,
                                     http::Headers headers = {});

  template <class T>
  Result<T> in_store(std::function<Result<T>(store::Transaction&)> work) {
    return store::run_and_wait<T>(*store_, work);
  }
  std::int64_t count_rows(const std::string& sql);
  std::string enrol(const std::string& thing, const crypto::PrivateKey& key);  // certificate id

  std::string url_;
  std::string ca_pem_;
  const std::string admin_ = "fw_admin-token-for-tests";
  const std::string viewer_ = "fw_viewer-token-for-tests";
  const std::string operator_ = "fw_operator-token-for-tests";
  const std::string approver_ = "fw_approver-token-for-tests";
  const auth::AccessKey key_{"AKIATESTTESTTESTTEST", "a secret of exactly forty characters 1234"};
  fleet::Installation installation_;
  crypto::SystemRandom random_;
  metrics::Registry metrics_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<bus::Bus> bus_;
  std::unique_ptr<Api> api_;

 private:
  async::Task<void> authority(async::Scope& scope);
  async::Task<void> sign_open();
  std::filesystem::path dir_;
  async::LoopThread loop_{"api"};
  async::LoopThread pki_loop_{"authority"};
  async::LoopThread client_loop_{"client"};
  std::unique_ptr<async::Scope> pki_scope_;
  std::optional<pki::Issuer> issuer_;
  std::shared_ptr<const net::TlsContext> client_tls_;
};

}  // namespace fleetward::api
