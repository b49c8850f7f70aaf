// The operator's way to /v1: one call, one JSON answer, errors in words that say what to do.
//
// Calls block; used from the main thread. Limits: an answer of 16 MiB, 30 seconds a call, no redirects.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "json/json.hpp"
#include "services/fleetward/command.hpp"

namespace fleetward::program {

class ApiClient {
 public:
  virtual ~ApiClient() = default;

  // `target` is path and query, already encoded. A status of 400 and above is an error with the answer's problem
  // details (RFC 9457) as its message; an empty body is null.
  virtual Result<json::Value> call(std::string_view method, std::string_view target,
                                   const std::optional<json::Value>& body = std::nullopt) = 0;

  // A call about a certificate, which the AWS operations take as a header (x-amzn-principal).
  virtual Result<json::Value> call_for(std::string_view method, std::string_view target,
                                       [[maybe_unused]] const std::string& principal) {
    return call(method, target);
  }

  Result<json::Value> get(std::string_view target) { return call("GET", target); }
  Result<json::Value> post(std::string_view target, const json::Value& body) { return call("POST", target, body); }
  Result<json::Value> put(std::string_view target, const json::Value& body) { return call("PUT", target, body); }

  // Every page of a list: the items of `member`, at most `items_max` (then the rest is left out: `*truncated`).
  Result<std::vector<json::Value>> list(const std::string& target, std::string_view member, std::size_t items_max,
                                        bool* truncated);
};

// From --api, --token-file, --ca-file, --data-dir and their environment variables.
Result<std::unique_ptr<ApiClient>> connect_api(const Invocation& invocation);

// Text of a member, "" when it is missing; numbers and booleans as text too, lists joined by commas.
std::string text_of(const json::Value& object, std::string_view member);
// A member that holds milliseconds since the epoch, as RFC 3339; "" when it is missing or 0.
std::string time_of(const json::Value& object, std::string_view member);

}  // namespace fleetward::program
