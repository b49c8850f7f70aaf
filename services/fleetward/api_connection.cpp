// The real client: HTTPS to the API, and where its address, token and authority are looked for.
#include <fmt/format.h>

#include "core/text.hpp"
#include "services/fleetward/api_client.hpp"
#include "services/fleetward/fetch.hpp"
#include "services/fleetward/files.hpp"

namespace fleetward::program {
namespace {

constexpr std::string_view default_api = "https://127.0.0.1:8443";

// Option, else variable, else the file of that name in the data folder; "" when none of them is there.
std::string path_of(const Invocation& invocation, std::string_view option, std::string_view variable,
                    std::string_view in_data_dir) {
  if (const auto given = invocation.option(option)) return *given;
  if (!variable.empty()) {
    if (const auto given = invocation.environment(variable)) return *given;
  }
  std::optional<std::string> data_dir = invocation.option("data-dir");
  if (!data_dir) data_dir = invocation.environment("DATA_DIR");
  return data_dir ? fmt::format("{}/{}", *data_dir, in_data_dir) : std::string();
}

Result<std::string> find_token(const Invocation& invocation) {
  const auto from_environment = invocation.environment("FLEETWARD_TOKEN");
  if (!invocation.has("token-file") && from_environment) return *from_environment;
  const std::string path = path_of(invocation, "token-file", "", "admin-token");
  if (path.empty()) {
    return {ErrorCode::unauthenticated, "no token: set FLEETWARD_TOKEN, or give --token-file FILE or --data-dir DIR"};
  }
  const Result<std::string> text = read_file(path);
  if (!text) return text.error().with_context("token");
  return std::string(trim(*text));
}

// RFC 9457: title and detail; the AWS form has only a message.
std::string problem_text(const http::Response& response) {
  const Result<json::Value> body = json::parse(response.body);
  if (!body || !body->is_object()) return fmt::format("status {}", response.status);
  std::string detail = text_of(*body, "detail");
  if (detail.empty()) detail = text_of(*body, "title");
  if (detail.empty()) detail = text_of(*body, "message");
  return detail.empty() ? fmt::format("status {}", response.status) : detail;
}

Error error_of(const http::Response& response) {
  const std::string text = problem_text(response);
  switch (response.status) {
    case 401:
      return {ErrorCode::unauthenticated,
              fmt::format("{}: the token was refused; set FLEETWARD_TOKEN or --token-file to a valid one", text)};
    case 403:
      return {ErrorCode::permission_denied, text};
    case 404:
      return {ErrorCode::not_found, text};
    case 409:
      return {ErrorCode::conflict, text};
    case 429:
      return {ErrorCode::throttled, text};
    case 503:
      return {ErrorCode::unavailable, text};
    default:
      return {response.status < 500 ? ErrorCode::invalid_argument : ErrorCode::internal, text};
  }
}

class HttpApiClient final : public ApiClient {
 public:
  HttpApiClient(std::string base, std::string token, std::shared_ptr<const net::TlsContext> tls)
      : base_(std::move(base)), token_(std::move(token)), tls_(std::move(tls)) {}

  Result<json::Value> call(std::string_view method, std::string_view target,
                           const std::optional<json::Value>& body) override {
    return exchange(method, target, body, {});
  }

  Result<json::Value> call_for(std::string_view method, std::string_view target,
                               const std::string& principal) override {
    return exchange(method, target, std::nullopt, {{"x-amzn-principal", principal}});
  }

 private:
  Result<json::Value> exchange(std::string_view method, std::string_view target, const std::optional<json::Value>& body,
                               http::Headers headers) {
    http::ClientRequest request{.method = std::string(method), .url = fmt::format("{}{}", base_, target)};
    request.headers = std::move(headers);
    request.headers.push_back({"Authorization", "Bearer " + token_});
    request.headers.push_back({"Accept", "application/json"});
    if (body) {
      request.headers.push_back({"Content-Type", "application/json"});
      request.body = json::dump(*body);
    }
    const Result<http::Response> response = fetcher_.send(std::move(request), {.tls = tls_, .timeout = Millis(30'000)});
    if (!response) {
      return Error(
          response.error().code,
          fmt::format("cannot reach {}: {}. Is `fleetward run` running there? --api or FLEETWARD_API say where", base_,
                      response.error().message));
    }
    if (response->status >= 400) return error_of(*response);
    if (response->body.empty()) return json::Value();
    return json::parse(response->body, {.bytes_max = 16 << 20});
  }

  std::string base_;
  std::string token_;
  std::shared_ptr<const net::TlsContext> tls_;
  Fetcher fetcher_;
};

}  // namespace

Result<std::unique_ptr<ApiClient>> connect_api(const Invocation& invocation) {
  std::string base(default_api);
  if (const auto given = invocation.environment("FLEETWARD_API")) base = *given;
  if (const auto given = invocation.option("api")) base = *given;
  while (base.ends_with('/')) base.pop_back();
  const Result<http::Url> url = http::parse_url(base);
  if (!url) return url.error().with_context("--api " + base);

  const Result<std::string> token = find_token(invocation);
  if (!token) return token.error();
  std::shared_ptr<const net::TlsContext> tls;
  if (url->tls) {
    const std::string ca_file = path_of(invocation, "ca-file", "FLEETWARD_CA_FILE", "pki/root.crt");
    if (ca_file.empty()) {
      return Error(ErrorCode::failed_precondition,
                   "no authority to trust: set FLEETWARD_CA_FILE, or give --ca-file FILE or --data-dir DIR");
    }
    const Result<std::string> ca = read_file(ca_file);
    if (!ca) return ca.error().with_context("authority");
    auto made = http::tls_for(base, *ca);
    if (!made) return made.error();
    tls = std::move(*made);
  } else if (url->host != "127.0.0.1" && url->host != "localhost" && url->host != "::1") {
    return Error(ErrorCode::permission_denied, "the token is not sent over plain http to another machine: use https");
  }
  return std::unique_ptr<ApiClient>(new HttpApiClient(base, *token, std::move(tls)));
}

}  // namespace fleetward::program
