// A signed webhook by the Standard Webhooks specification (version 1.0.0, symmetric signatures): one POST a message.
//
// It goes out as outbound.hpp says, so who controls the receiver's name cannot lead us into the operator's own network.
// Limits: secrets_max keys, answer_bytes_max of an answer, the time given.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connect/outbound.hpp"
#include "core/text.hpp"

namespace fleetward::connect {

constexpr std::size_t webhook_secrets_max = 4;

// "whsec_" and base64 of 24 to 64 bytes, one a line: a receiver that changes its secret gets signatures of old and new.
// Errors tell nothing of the text.
Result<std::vector<Bytes>> read_webhook_secrets(std::string_view text);

// "v1,BASE64 v1,BASE64": HMAC-SHA256 over "id.seconds.body", one a secret.
std::string webhook_signatures(const std::vector<Bytes>& secrets, std::string_view id, std::int64_t seconds,
                               std::string_view body);

struct WebhookConfig {
  std::string url;
  std::vector<Bytes> secrets;
  std::string ca_pem;          // whom to trust where the address is https
  bool allow_private = false;  // addresses that are not of the public internet, and plain http
};

struct WebhookMessage {
  std::string id;  // the same at each attempt; has no '.'
  std::string body;
};

struct WebhookOutcome {
  Status status;
  bool is_final = false;              // the same message will be refused again
  bool is_away = false;               // the receiver as a whole: others would fare no better now
  std::optional<Millis> retry_after;  // as it asked
};

class Webhook {
 public:
  // invalid_argument: not an http(s) address, no secret, or plain http without allow_private.
  static Result<Webhook> open(WebhookConfig config);

  // Good at any status of 200 to 299.
  async::Task<WebhookOutcome> post(async::Scheduler& scheduler, WebhookMessage message, Millis limit) const;

  [[nodiscard]] const std::string& url() const { return place_.url(); }

 private:
  Webhook(std::vector<Bytes> secrets, Outbound place) : secrets_(std::move(secrets)), place_(std::move(place)) {}

  std::vector<Bytes> secrets_;
  Outbound place_;
};

// What an answer is worth. Pure.
WebhookOutcome webhook_outcome(const http::Response& response);

}  // namespace fleetward::connect
