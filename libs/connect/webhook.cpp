#include "connect/webhook.hpp"

#include "crypto/digest.hpp"

namespace fleetward::connect {
namespace {

constexpr std::string_view secret_prefix = "whsec_";
constexpr std::size_t secret_bytes_min = 24;
constexpr std::size_t secret_bytes_max = 64;
constexpr std::size_t answer_bytes_max = 64 << 10;

}  // namespace

Result<std::vector<Bytes>> read_webhook_secrets(std::string_view text) {
  std::vector<Bytes> secrets;
  for (const std::string_view line : split(text, '\n')) {
    const std::string_view word = trim(line);
    if (word.empty()) continue;
    const auto key = word.starts_with(secret_prefix) ? from_base64(word.substr(secret_prefix.size()))
                                                     : Result<Bytes>(ErrorCode::invalid_argument, "");
    if (!key || key->size() < secret_bytes_min || key->size() > secret_bytes_max) {
      return Error(
          ErrorCode::invalid_argument,
          fmt::format("secret {} is not whsec_ with base64 of {} to {} bytes (make one: echo whsec_$(openssl rand "
                      "-base64 32))",
                      secrets.size() + 1, secret_bytes_min, secret_bytes_max));
    }
    secrets.push_back(*key);
  }
  if (secrets.empty()) return Error(ErrorCode::invalid_argument, "there is no secret");
  if (secrets.size() > webhook_secrets_max)
    return Error(ErrorCode::resource_exhausted, fmt::format("there are more than {} secrets", webhook_secrets_max));
  return secrets;
}

std::string webhook_signatures(const std::vector<Bytes>& secrets, std::string_view id, std::int64_t seconds,
                               std::string_view body) {
  const std::string content = fmt::format("{}.{}.{}", id, seconds, body);
  std::string out;
  for (const Bytes& secret : secrets) {
    out += fmt::format("{}v1,{}", out.empty() ? "" : " ", to_base64(crypto::hmac_sha256(secret, content)));
  }
  return out;
}

WebhookOutcome webhook_outcome(const http::Response& response) {
  const int status = response.status;
  if (status >= 200 && status < 300) return {};
  const std::string said = fmt::format("the webhook answers {}: {}", status, printable(response.body, 200));
  const auto wait = http::retry_after(response);
  if (status == 429) return {Error(ErrorCode::throttled, said), false, true, wait};
  // A gateway in front of it speaks: behind it nothing is there.
  const bool is_away = status == 502 || status == 503 || status == 504;
  if (status >= 500 || status == 408) return {Error(ErrorCode::unavailable, said), false, is_away, wait};
  if (status >= 300 && status < 400) {
    return {Error(ErrorCode::failed_precondition, said + " (redirects are not followed: set the new address)"), false,
            true, wait};
  }
  if (status == 410)
    return {Error(ErrorCode::failed_precondition, said + " (it is gone: take it out of the settings)"), true};
  // Of the body, and so for good; a wrong secret or path is mended without us hearing of it.
  const bool is_final = status == 400 || status == 413 || status == 415 || status == 422;
  return {Error(ErrorCode::invalid_argument, said), is_final, !is_final, wait};
}

Result<Webhook> Webhook::open(WebhookConfig config) {
  if (config.secrets.empty()) return Error(ErrorCode::invalid_argument, "a webhook needs a secret");
  auto place = Outbound::open({config.url, config.ca_pem, config.allow_private});
  if (!place) return place.error().with_context("webhook");
  if (!place->is_tls() && !config.allow_private) {
    return Error(ErrorCode::invalid_argument,
                 fmt::format("{}: a webhook on the public internet is https; allow_private is for others",
                             printable(config.url)));
  }
  return Webhook(std::move(config.secrets), std::move(*place));
}

async::Task<WebhookOutcome> Webhook::post(async::Scheduler& scheduler, WebhookMessage message, Millis limit) const {
  const std::int64_t seconds = to_ms(scheduler.now()) / 1000;
  http::ClientRequest request{"POST",
                              {},
                              {{"Content-Type", "application/json"},
                               {"User-Agent", "Fleetward"},
                               {"webhook-id", message.id},
                               {"webhook-timestamp", std::to_string(seconds)},
                               {"webhook-signature", webhook_signatures(secrets_, message.id, seconds, message.body)}},
                              std::move(message.body)};
  http::ParserLimits limits = http::ClientOptions().limits;
  limits.body_bytes_max = answer_bytes_max;
  const Result<http::Response> response = co_await place_.request(scheduler, std::move(request), limits, limit);
  if (response.ok()) co_return webhook_outcome(*response);
  co_return WebhookOutcome{response.error().with_context("webhook"), false, true, std::nullopt};
}

}  // namespace fleetward::connect
