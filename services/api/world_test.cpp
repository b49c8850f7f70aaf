// What test_world.hpp promises.
#include <unistd.h>

#include "bus/embedded_bus.hpp"
#include "fleet/topics.hpp"
#include "repository/migrations.hpp"
#include "services/api/test_world.hpp"
#include "store/sqlite_store.hpp"

namespace fleetward::api {
namespace {

constexpr Millis century{std::int64_t{100} * 365 * 86'400'000};
int folder_number = 0;

async::Task<void> run_request(async::Scheduler& loop, http::ClientRequest request, http::ClientOptions options,
                              std::promise<Result<http::Response>>& answer) {
  Result<http::Response> response = co_await http::request(loop, std::move(request), std::move(options));
  answer.set_value(std::move(response));
}

auth::Principal with(const std::string& name, std::vector<auth::Right> rights) { return {name, std::move(rights)}; }

}  // namespace

void ApiTest::SetUp() {
  using auth::Right;
  dir_ = std::filesystem::temp_directory_path() / fmt::format("fw_api_{}_{}", ::getpid(), folder_number++);
  std::filesystem::create_directories(dir_);
  auto store = store::open_sqlite_store((dir_ / "store.db").string(), metrics_);
  ASSERT_TRUE(store.ok()) << store.error().message;
  store_ = std::move(*store);
  ASSERT_TRUE(store_->migrate(repository::all_migrations()).ok());
  auto bus = bus::open_embedded_bus((dir_ / "bus.db").string(), metrics_);
  ASSERT_TRUE(bus.ok()) << bus.error().message;
  bus_ = std::move(*bus);
  ASSERT_TRUE(bus_->ensure_topics({{std::string(fleet::topic::devices), 2, bus::TopicKind::log, Millis(0)},
                                   {std::string(fleet::topic::gateways), 1, bus::TopicKind::table, Millis(0)}})
                  .ok());

  const Instant now = loop_.now();
  const auto root_key = *crypto::PrivateKey::generate();
  ca_pem_ = *pki::make_root(root_key, "test root", now, century, random_);
  const auto issuing_key = *crypto::PrivateKey::generate();
  const std::string issuing =
      *pki::make_issuing({root_key, ca_pem_}, issuing_key.public_key(), "test issuing", now, century, random_);
  issuer_ = pki::Issuer{issuing_key, issuing};
  const auto server_key = *crypto::PrivateKey::generate();
  pki::LeafRequest server;
  server.purpose = pki::Purpose::server;
  server.common_name = "localhost";
  server.ip_addresses = {"127.0.0.1"};
  server.lifetime = std::chrono::hours(24);
  ApiConfig config;
  config.port = 0;
  config.certificate_chain_pem = *pki::issue(*issuer_, server_key.public_key(), server, now, random_) + issuing;
  config.private_key_pem = server_key.to_pem();
  config.installation = installation_;
  config.mqtt_endpoint = "mqtt.example";

  auth::Credentials credentials;
  credentials.add_token(admin_, auth::administrator());
  credentials.add_token(viewer_, with("vera", {Right::read}));
  credentials.add_token(operator_, with("olga", {Right::read, Right::write, Right::operate}));
  credentials.add_token(approver_, with("anna", {Right::read, Right::approve}));
  credentials.add_access_key(key_, auth::administrator());
  api_ = std::make_unique<Api>(std::move(config), std::move(credentials), *store_, *bus_, loop_, metrics_, random_);
  const Status started = api_->start();
  ASSERT_TRUE(started.ok()) << started.error().message;
  url_ = fmt::format("https://127.0.0.1:{}", api_->port());
  client_tls_ = *http::tls_for(url_, ca_pem_);
  pki_scope_ = std::make_unique<async::Scope>(pki_loop_, "authority");
  pki_scope_->spawn("sign", authority(*pki_scope_));
}

void ApiTest::TearDown() {
  if (pki_scope_) {
    pki_scope_->request_stop();
    EXPECT_TRUE(pki_scope_->join(Millis(10'000)));
  }
  if (api_) api_->stop(Millis(10'000));
  api_.reset();
  bus_.reset();
  store_.reset();
  std::filesystem::remove_all(dir_);
}

async::Task<void> ApiTest::authority(async::Scope& scope) {
  const auto asked = store_->listen(pki_loop_, std::string(repository::pki_channel));
  while (!scope.stopping()) {
    co_await asked->wait(Millis(20));
    co_await sign_open();
  }
}

async::Task<void> ApiTest::sign_open() {
  const Instant now = pki_loop_.now();
  std::function<Status(store::Transaction&)> work = [this, now](store::Transaction& tx) -> Status {
    const auto open = repository::open_signing_requests(tx, 10);
    if (!open) return open.error();
    for (const repository::SigningRequest& request : *open) {
      const auto key = crypto::PublicKey::from_pem(request.public_key_pem);
      if (!key) return key.error();
      pki::LeafRequest leaf;
      leaf.common_name = request.thing.empty() ? "device" : request.thing;
      leaf.lifetime = std::chrono::hours(24 * 365);
      const auto pem = pki::issue(*issuer_, *key, leaf, now, random_);
      if (!pem) return pem.error();
      if (const Status done = repository::finish_signing(tx, request, *pem, "fingerprint-of-the-issuer", now); !done)
        return done;
    }
    return {};
  };
  const Status done = co_await store::transact(*store_, pki_loop_, work);
  EXPECT_TRUE(done.ok()) << done.error().message;
}

Answer ApiTest::send(http::ClientRequest request) {
  async::Scope scope(client_loop_, "call");
  std::promise<Result<http::Response>> answered;
  auto future = answered.get_future();
  http::ClientOptions options;
  options.tls = client_tls_;
  options.timeout = Millis(20'000);
  scope.spawn("call", run_request(client_loop_, std::move(request), std::move(options), answered));
  const Result<http::Response> response = future.get();
  EXPECT_TRUE(scope.join(Millis(5'000)));
  Answer answer;
  if (!response) {
    ADD_FAILURE() << response.error().message;
    return answer;
  }
  answer.status = response->status;
  answer.headers = response->headers;
  if (!response->body.empty()) {
    const auto body = json::parse(response->body);
    EXPECT_TRUE(body.ok()) << response->body;
    if (body) answer.body = *body;
  }
  return answer;
}

Answer ApiTest::call(const std::string& method, const std::string& target, const std::string& body) {
  return call_as(admin_, method, target, body);
}

Answer ApiTest::call_as(const std::string& token, const std::string& method, const std::string& target,
                        const std::string& body, http::Headers headers) {
  http::ClientRequest request;
  request.method = method;
  request.url = url_ + target;
  request.body = body;
  request.headers = std::move(headers);
  if (!token.empty()) request.headers.push_back({"Authorization", "Bearer " + token});
  if (!body.empty()) request.headers.push_back({"Content-Type", "application/json"});
  return send(std::move(request));
}

http::ClientRequest ApiTest::signed_request(const std::string& method, const std::string& target,
                                            const std::string& body, const auth::AccessKey& key,
                                            const std::string& region, Instant at, http::Headers headers) {
  std::string date = to_rfc3339(at).substr(0, 19) + "Z";
  std::erase_if(date, [](char c) { return c == '-' || c == ':'; });
  const std::string host = url_.substr(8);
  std::map<std::string, std::string> to_sign{{"host", host}, {"x-amz-date", date}};
  for (const http::Header& h : headers) to_sign[to_lower(h.name)] = h.value;
  std::string lines;
  std::string names;
  for (const auto& [name, value] : to_sign) {
    lines += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  const std::size_t mark = target.find('?');
  const std::string path = target.substr(0, mark);
  const std::string query = mark == std::string::npos ? "" : target.substr(mark + 1);  // tests give it sorted
  const std::string canonical = method + "\n" + percent_encode(path, true) + "\n" + query + "\n" + lines + "\n" +
                                names + "\n" + crypto::sha256_hex(body);
  const std::string scope = date.substr(0, 8) + "/" + region + "/iot/aws4_request";
  const std::string text = "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + crypto::sha256_hex(canonical);
  auto mac = crypto::hmac_sha256(as_bytes("AWS4" + key.secret), date.substr(0, 8));
  for (const std::string_view part :
       {std::string_view(region), std::string_view("iot"), std::string_view("aws4_request")})
    mac = crypto::hmac_sha256(ByteView(mac), part);
  mac = crypto::hmac_sha256(ByteView(mac), text);
  http::ClientRequest request;
  request.method = method;
  request.url = url_ + target;
  request.body = body;
  request.headers = std::move(headers);
  request.headers.push_back({"X-Amz-Date", date});
  request.headers.push_back({"Authorization", "AWS4-HMAC-SHA256 Credential=" + key.id + "/" + scope +
                                                  ", SignedHeaders=" + names + ", Signature=" + to_hex(ByteView(mac))});
  return request;
}

std::int64_t ApiTest::count_rows(const std::string& sql) {
  const auto rows = in_store<std::int64_t>([&](store::Transaction& tx) -> Result<std::int64_t> {
    const auto found = tx.query(sql);
    if (!found) return found.error();
    return found->empty() ? 0 : found->at(0).integer(0);
  });
  EXPECT_TRUE(rows.ok());
  return rows.value_or(-1);
}

std::string ApiTest::enrol(const std::string& thing, const crypto::PrivateKey& key) {
  const json::Value body = {{"csr", *pki::make_signing_request(key, thing)}, {"groups", {"cams"}}};
  const Answer answer = call("POST", "/v1/things/" + thing + "/enrol", json::dump(body));
  EXPECT_EQ(answer.status, 200) << answer.text();
  return answer.status == 200 ? answer.body["certificateId"].get<std::string>() : "";
}

}  // namespace fleetward::api
