#include "services/api/api.hpp"

#include <future>

#include "aws/sigv4.hpp"
#include "http/server.hpp"
#include "log/log.hpp"
#include "repository/audit_repository.hpp"
#include "repository/profile_repository.hpp"
#include "repository/signing_client.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

bool is_v1(const http::Request& request) { return request.path().starts_with("/v1/") || request.path() == "/v1"; }

aws::RouteTable make_table() {
  std::vector<aws::Route> routes;
  for (const Operation& o : all_operations()) routes.push_back(o.route);
  return aws::RouteTable(std::move(routes));
}

}  // namespace

struct Api::State {
  State(ApiConfig c, auth::Credentials cr, store::Store& s, async::Scheduler& sch, metrics::Registry& m,
        crypto::Random& r)
      : config(std::move(c)),
        credentials(std::move(cr)),
        store(s),
        scheduler(sch),
        registry(m),
        random(r),
        table(make_table()) {}

  Result<auth::Principal> authenticate(const http::Request& request) const;
  async::Task<http::Response> handle(http::Request request);
  async::Task<Result<json::Value>> call(const Operation& operation, const aws::Arguments& args, auth::Principal who,
                                        repository::AuditEntry audit);
  async::Task<Result<json::Value>> sign(Wish wish);

  ApiConfig config;
  auth::Credentials credentials;
  store::Store& store;
  async::Scheduler& scheduler;
  metrics::Registry& registry;
  crypto::Random& random;
  aws::RouteTable table;
  std::unique_ptr<http::Server> server;
  std::atomic<std::uint16_t> port{0};
};

Result<auth::Principal> Api::State::authenticate(const http::Request& request) const {
  const std::string* header = request.header("Authorization");
  if (header == nullptr) return Error(ErrorCode::unauthenticated, "Missing Authentication Token");
  if (aws::looks_signed(request)) {
    const auto claim = aws::read_authorization(request);
    if (!claim) return claim.error();
    const auto* holder = credentials.by_access_key(claim->access_key_id);
    if (holder == nullptr)
      return Error(ErrorCode::unauthenticated, "The security token included in the request is invalid.");
    const Status good = aws::verify_signature(request, *claim, holder->key.secret, scheduler.now());
    if (!good) return good.error();
    return holder->principal;
  }
  constexpr std::string_view bearer = "Bearer ";
  const auth::Principal* found =
      header->starts_with(bearer) ? credentials.by_token(std::string_view(*header).substr(bearer.size())) : nullptr;
  if (found == nullptr)
    return Error(ErrorCode::unauthenticated, "The security token included in the request is invalid.");
  return *found;
}

async::Task<Result<json::Value>> Api::State::call(const Operation& operation, const aws::Arguments& args,
                                                  auth::Principal who, repository::AuditEntry audit) {
  const Instant now = scheduler.now();
  const bool reads = operation.route.right == auth::Right::read;
  // A random source is not repeatable work, but an id that was drawn in a try that rolled back is simply not used.
  std::function<Result<Wish>(store::Transaction&)> work = [&](store::Transaction& tx) -> Result<Wish> {
    Call c{tx, args, who, config, random, now};
    Wish wish;
    if (operation.prepare != nullptr) {
      auto wanted = operation.prepare(c);
      if (!wanted) return wanted.error();
      wish = std::move(*wanted);
    } else {
      auto answer = operation.handler(c);
      if (!answer) return answer.error();
      wish.answer = std::move(*answer);
    }
    if (!reads) {
      if (const Status written = repository::write_audit(tx, audit); !written) return written.error();
    }
    return wish;
  };
  Result<Wish> wish = co_await store::transact<Wish>(store, scheduler, work);
  if (!wish) co_return wish.error();
  if (operation.prepare == nullptr) co_return std::move(wish->answer);
  Result<json::Value> answer = co_await sign(std::move(*wish));
  co_return answer;
}

async::Task<Result<json::Value>> Api::State::sign(Wish wish) {
  repository::SigningRequest request;
  request.id = random.hex(16);
  request.thing = wish.thing;
  request.thing_id = wish.thing_id;
  request.public_key_pem = wish.public_key_pem;
  request.active = wish.active;
  const Result<std::string> pem = co_await repository::sign(store, scheduler, std::move(request), config.sign_limit);
  if (!pem) co_return pem.error();
  co_return certificate_answer(config, wish, *pem);
}

async::Task<http::Response> Api::State::handle(http::Request request) {
  const std::string request_id = random.hex(16);
  const auto failed = is_v1(request) ? &aws::problem : &aws::aws_error;
  const auto match = table.find(request);
  const auto who = authenticate(request);
  if (!who) co_return failed(who.error(), request_id);
  if (!match) co_return failed(match.error(), request_id);
  const Operation& operation = all_operations()[match->route->id];
  if (!who->may(operation.route.right)) {
    co_return failed(
        Error(ErrorCode::permission_denied,
              fmt::format("{} needs the right to {}", operation.route.operation, to_string(operation.route.right))),
        request_id);
  }
  const auto args = aws::read_arguments(*match, request);
  if (!args) co_return failed(args.error(), request_id);
  repository::AuditEntry audit{
      scheduler.now(), who->name,        std::string(operation.route.operation), printable(request.path(), 512),
      request_id,      request.peer.host};
  Result<json::Value> answer = co_await call(operation, *args, *who, std::move(audit));
  registry
      .counter("fleetward_api_calls_total", "Calls by operation and outcome.",
               {{"operation", std::string(operation.route.operation)},
                {"result", answer.ok() ? "ok" : std::string(to_string(answer.error().code))}})
      .add();
  if (!answer) {
    if (answer.error().code == ErrorCode::internal)
      log::error("api_call_failed", {{"operation", operation.route.operation}, {"error", answer.error().message}});
    co_return failed(answer.error(), request_id);
  }
  http::Response response = http::text_response(200, json::dump(*answer), "application/json");
  response.headers.push_back({"x-amzn-RequestId", request_id});
  co_return response;
}

Api::Api(ApiConfig config, auth::Credentials credentials, store::Store& store, async::Scheduler& scheduler,
         metrics::Registry& metrics, crypto::Random& random)
    : state_(std::make_shared<State>(std::move(config), std::move(credentials), store, scheduler, metrics, random)) {}
Api::~Api() = default;

Status Api::start() {
  // A new installation needs one manifest, or detectors would wait for ever.
  std::promise<Status> first;
  state_->store.run(
      [now = state_->scheduler.now()](store::Transaction& tx) { return repository::ensure_manifest(tx, now); },
      [&first](Status s) { first.set_value(std::move(s)); });
  if (const Status made = first.get_future().get(); !made) return made;
  net::TlsServerConfig tls;
  tls.certificate_chain_pem = state_->config.certificate_chain_pem;
  tls.private_key_pem = state_->config.private_key_pem;
  const auto context = net::TlsContext::for_server(tls);
  if (!context) return context.error().with_context("api TLS");
  Status opened;
  async::run_on(state_->scheduler, [&] {
    http::ServerOptions options;
    options.name = "api";
    State* state = state_.get();
    auto server = http::Server::open(
        state->scheduler, {state->config.address, state->config.port}, *context,
        [state](http::Request r) { return state->handle(std::move(r)); }, state->registry, options);
    if (!server) {
      opened = server.error();
      return;
    }
    state->server = std::move(*server);
    state->port = state->server->port();
  });
  return opened;
}

void Api::stop(Millis limit) {
  if (!state_->server->stop(limit)) log::error("api_did_not_stop", {});
  async::run_on(state_->scheduler, [this] { state_->server.reset(); });
}

Status Api::ready() const {
  return state_->port != 0 ? Status() : Status(Error(ErrorCode::unavailable, "not open yet"));
}
std::uint16_t Api::port() const { return state_->port; }

}  // namespace fleetward::api
