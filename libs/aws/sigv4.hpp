// AWS Signature Version 4, the verifying side (docs: "Create a signed AWS API request"). Pure.
//
// Host, x-amz-date and every other x-amz-…, x-amzn-… header must be signed. Not supported: presigned queries, temporary
// credentials. The path is encoded once more over the raw one, as for every service but S3; the body is hashed here,
// since clients of the control plane send no X-Amz-Content-Sha256. The date may be off by clock_skew_max.
#pragma once

#include <optional>
#include <string>

#include "core/time.hpp"
#include "http/message.hpp"

namespace fleetward::aws {

inline constexpr Millis clock_skew_max{15 * 60'000};

struct SignedBy {
  std::string access_key_id;
  std::string date;  // 20261124
  std::string region;
  std::string service;
  std::vector<std::string> signed_headers;
  std::string signature;  // hex
};

bool looks_signed(const http::Request& request);
// What the Authorization header claims. unauthenticated with words that clients know when it is malformed.
Result<SignedBy> read_authorization(const http::Request& request);
// unauthenticated: made for another region or service, so perhaps for another installation.
Status check_scope(const SignedBy& claim, std::string_view region, std::string_view service);
// unauthenticated: signature or time are wrong.
Status verify_signature(const http::Request& request, const SignedBy& claim, std::string_view secret, Instant now);

}  // namespace fleetward::aws
