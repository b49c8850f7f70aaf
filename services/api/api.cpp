#include "services/api/api.hpp"

#include <future>

#include "aws/sigv4.hpp"
#include "core/text.hpp"
#include "http/server.hpp"
#include "log/log.hpp"
#include "repository/audit_repository.hpp"
#include "repository/manifest.hpp"
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

constexpr std::string_view signing_service = "iot";
constexpr std::size_t target_bytes_max = 1024;  // of the audit log's rows

Result<std::shared_ptr<const net::TlsContext>> make_tls(const net::TlsMaterial& material) {
  net::TlsServerConfig tls;
  tls.certificate_chain_pem = material.certificate_chain_pem;
  tls.private_key_pem = material.private_key_pem;
  auto context = net::TlsContext::for_server(tls);
  if (!context) return context.error().with_context("api TLS");
  return context;
}

// A fault of ours is told in the log; the caller gets the request's id.
Error for_caller(const Error& error) {
  if (error.code != ErrorCode::internal && error.code != ErrorCode::corrupted) return error;
  return Error(error.code, "this is a fault of the server; its log has the request's id");
}

}  // namespace

struct Api::State {
  State(ApiConfig c, auth::Credentials cr, store::Store& s, bus::Bus& b, async::Scheduler& sch, metrics::Registry& m,
        crypto::Random& r)
      : config(std::move(c)),
        credentials(std::move(cr)),
        store(s),
        scheduler(sch),
        registry(m),
        random(r),
        table(make_table()),
        took(m.histogram("fleetward_api_call_seconds", "Time of calls, from their right to their answer.",
                         metrics::latency_bounds())),
        presence(b, sch, m),
        scope(sch, "api") {}

  Result<auth::Principal> authenticate(const http::Request& request) const;
  async::Task<http::Response> handle(http::Request request);
  void count(std::string_view operation, std::string_view result);
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
  metrics::Histogram& took;
  Presence presence;
  async::Scope scope;
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
    const Status ours = aws::check_scope(*claim, config.installation.region, signing_service);
    if (!ours) return ours.error();
    const Status good = aws::verify_signature(request, *claim, holder->key.secret, scheduler.now());
    if (!good) return good.error();
    return holder->principal;
  }
  constexpr std::string_view bearer = "Bearer ";  // the scheme in any case, RFC 9110 section 11.1
  const bool has_token = iequals(std::string_view(*header).substr(0, bearer.size()), bearer);
  const auth::Principal* found =
      has_token ? credentials.by_token(trim(std::string_view(*header).substr(bearer.size()))) : nullptr;
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
    Call c{tx, args, who, config, random, presence, now, operation.route.operation};
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
  if (!wish->certificate_pem.empty()) co_return certificate_answer(config, *wish, wish->certificate_pem);
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

void Api::State::count(std::string_view operation, std::string_view result) {
  registry
      .counter("fleetward_api_calls_total", "Calls by operation and outcome.",
               {{"operation", std::string(operation)}, {"result", std::string(result)}})
      .add();
}

async::Task<http::Response> Api::State::handle(http::Request request) {
  const std::string request_id = random.hex(16);
  const bool v1 = is_v1(request);
  std::string_view operation_name = "(none)";
  std::string_view state_error = "InvalidRequestException";
  const auto failed = [&](const Error& error) {
    count(operation_name, to_string(error.code));
    return v1 ? aws::problem(error, request_id) : aws::aws_error(error, request_id, state_error);
  };
  const auto who = authenticate(request);
  if (!who) co_return failed(who.error());
  const auto match = table.find(request);
  if (!match) co_return failed(match.error());
  const Operation& operation = all_operations()[match->route->id];
  operation_name = operation.route.operation;
  state_error = operation.route.state_error;
  if (!who->may(operation.route.right)) {
    log::warn("api_call_denied", {{"operation", operation_name}, {"principal", who->name}});
    co_return failed(Error(ErrorCode::permission_denied,
                           fmt::format("{} needs the right to {}", operation_name, to_string(operation.route.right))));
  }
  const auto args = aws::read_arguments(*match, request);
  if (!args) co_return failed(args.error());
  repository::AuditEntry audit{
      scheduler.now(), who->name,        std::string(operation_name), printable(request.target, target_bytes_max),
      request_id,      request.peer.host};
  const auto begin = scheduler.steady_now();
  Result<json::Value> answer = co_await call(operation, *args, *who, std::move(audit));
  took.observe(std::chrono::duration<double>(scheduler.steady_now() - begin).count());
  if (!answer) {
    const Error error = for_caller(answer.error());
    if (error != answer.error()) {
      log::error("api_call_failed",
                 {{"operation", operation_name}, {"request", request_id}, {"error", answer.error().message}});
    }
    if (v1) co_return failed(error);
    count(operation_name, to_string(error.code));
    co_return aws::aws_error(error, request_id, operation.route);
  }
  count(operation_name, "ok");
  http::Response response = http::text_response(200, json::dump(*answer), "application/json");
  response.headers.push_back({"x-amzn-RequestId", request_id});
  response.headers.push_back({"Cache-Control", "no-store"});
  co_return response;
}

Api::Api(ApiConfig config, auth::Credentials credentials, store::Store& store, bus::Bus& bus,
         async::Scheduler& scheduler, metrics::Registry& metrics, crypto::Random& random)
    : state_(
          std::make_shared<State>(std::move(config), std::move(credentials), store, bus, scheduler, metrics, random)) {}
Api::~Api() = default;

Status Api::start() {
  // A new installation needs one manifest, or detectors would wait for ever.
  std::promise<Status> first;
  state_->store.run(
      [now = state_->scheduler.now()](store::Transaction& tx) { return repository::ensure_manifest(tx, now); },
      [&first](Status s) { first.set_value(std::move(s)); });
  if (const Status made = first.get_future().get(); !made) return made;
  const auto context = make_tls({state_->config.certificate_chain_pem, state_->config.private_key_pem, {}});
  if (!context) return context.error();
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
    state->presence.start(state->scope);
    state->port = state->server->port();
  });
  return opened;
}

Status Api::set_tls(const net::TlsMaterial& material) {
  const auto context = make_tls(material);
  if (!context) return context.error();
  async::run_on(state_->scheduler, [state = state_.get(), &context] {
    if (state->server) state->server->set_tls(*context);
  });
  return {};
}

void Api::stop(Millis limit) {
  if (state_->server && !state_->server->stop(limit)) log::error("api_did_not_stop", {});
  state_->scope.request_stop();
  async::run_on(state_->scheduler, [this] {
    state_->presence.wake();
    state_->server.reset();
  });
  if (!state_->scope.join(limit)) log::error("api_did_not_stop", {});
}

Status Api::ready() const {
  return state_->port != 0 ? Status() : Status(Error(ErrorCode::unavailable, "not open yet"));
}
std::uint16_t Api::port() const { return state_->port; }

}  // namespace fleetward::api
