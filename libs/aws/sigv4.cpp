#include "aws/sigv4.hpp"

#include <map>

#include "core/text.hpp"
#include "crypto/digest.hpp"

namespace fleetward::aws {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::size_t signed_headers_max = 50;
constexpr std::size_t authorization_bytes_max = 8192;

Error refuse(std::string text) { return Error(ErrorCode::unauthenticated, std::move(text)); }

// Runs of spaces become one, ends are trimmed.
std::string header_value(std::string_view value) {
  std::string out;
  for (const char c : trim(value)) {
    if (c != ' ' || out.empty() || out.back() != ' ') out += c;
  }
  return out;
}

bool is_signed(const SignedBy& claim, std::string_view name) {
  return std::find(claim.signed_headers.begin(), claim.signed_headers.end(), name) != claim.signed_headers.end();
}

// What decides what the request does must be under the signature, or somebody on the way could change it.
Status check_signed_headers(const http::Request& request, const SignedBy& claim) {
  if (claim.signed_headers.size() > signed_headers_max) return refuse("too many signed headers");
  for (const std::string_view name : {"host", "x-amz-date"}) {
    if (!is_signed(claim, name)) return refuse(fmt::format("{} must be among the signed headers", name));
  }
  for (const http::Header& h : request.headers) {
    const std::string name = to_lower(h.name);
    const bool decides = name.starts_with("x-amz-") || name.starts_with("x-amzn-");
    if (decides && name != "x-amzn-trace-id" && !is_signed(claim, name))
      return refuse(fmt::format("{} must be among the signed headers", printable(name, 64)));
  }
  return {};
}

// All values of that name in order, joined by commas: a second one cannot hide behind the first.
std::optional<std::string> signed_value(const http::Headers& headers, std::string_view name) {
  std::optional<std::string> out;
  for (const http::Header& h : headers) {
    if (!iequals(h.name, name)) continue;
    out = out ? fmt::format("{},{}", *out, header_value(h.value)) : header_value(h.value);
  }
  return out;
}

Result<std::string> canonical_query(const http::Request& request) {
  auto pairs = request.query_pairs();
  if (!pairs) return pairs.error();
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : *pairs) encoded.emplace_back(percent_encode(name), percent_encode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
  return out;
}

Result<std::string> canonical_request(const http::Request& request, const SignedBy& claim) {
  const auto query = canonical_query(request);
  if (!query) return query.error();
  std::string headers;
  for (const std::string& name : claim.signed_headers) {
    const auto value = signed_value(request.headers, name);
    if (!value) return refuse("a signed header is missing: " + printable(name, 64));
    headers += fmt::format("{}:{}\n", name, *value);
  }
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, percent_encode(request.path(), true), *query, headers,
                     fmt::join(claim.signed_headers, ";"), crypto::sha256_hex(request.body));
}

// "20261124T082622Z"
Result<Instant> parse_basic_time(std::string_view t) {
  if (t.size() != 16 || t[8] != 'T' || t[15] != 'Z') return refuse("X-Amz-Date is not a time such as 20261124T082622Z");
  return parse_rfc3339(fmt::format("{}-{}-{}T{}:{}:{}Z", t.substr(0, 4), t.substr(4, 2), t.substr(6, 2), t.substr(9, 2),
                                   t.substr(11, 2), t.substr(13, 2)));
}

}  // namespace

bool looks_signed(const http::Request& request) {
  const std::string* header = request.header("Authorization");
  return header != nullptr && header->starts_with(algorithm);
}

Result<SignedBy> read_authorization(const http::Request& request) {
  const std::string* header = request.header("Authorization");
  if (header == nullptr || !header->starts_with(algorithm)) return refuse("Missing Authentication Token");
  if (header->size() > authorization_bytes_max) return refuse("the Authorization header is too long");
  std::map<std::string, std::string> parts;
  for (const std::string_view part : split(std::string_view(*header).substr(algorithm.size()), ',')) {
    const std::string_view item = trim(part);
    const auto equals = item.find('=');
    if (equals == std::string_view::npos) return refuse("the Authorization header is malformed");
    parts[std::string(item.substr(0, equals))] = std::string(item.substr(equals + 1));
  }
  const auto scope = split(parts["Credential"], '/');
  if (scope.size() != 5 || scope[4] != "aws4_request") return refuse("the credential scope is malformed");
  SignedBy claim{std::string(scope[0]), std::string(scope[1]), std::string(scope[2]), std::string(scope[3]), {},
                 parts["Signature"]};
  for (const std::string_view name : split(parts["SignedHeaders"], ';')) claim.signed_headers.emplace_back(name);
  if (request.header("X-Amz-Security-Token") != nullptr)
    return refuse("The security token included in the request is invalid: temporary credentials are not known here.");
  if (const Status good = check_signed_headers(request, claim); !good) return good.error();
  return claim;
}

Status check_scope(const SignedBy& claim, std::string_view region, std::string_view service) {
  if (claim.region == region && claim.service == service) return {};
  return refuse(fmt::format("Credential should be scoped to region {} and service {}.", region, service));
}

Status verify_signature(const http::Request& request, const SignedBy& claim, std::string_view secret, Instant now) {
  const std::string* date_header = request.header("X-Amz-Date");
  if (date_header == nullptr) return refuse("X-Amz-Date is missing");
  const auto signed_at = parse_basic_time(*date_header);
  if (!signed_at) return refuse("X-Amz-Date is not a time such as 20261124T082622Z");
  if (*signed_at > now + clock_skew_max || *signed_at < now - clock_skew_max)
    return refuse("Signature expired: the request's time is off by more than 15 minutes; check the clock");
  if (claim.date.size() != 8 || !date_header->starts_with(claim.date))
    return refuse("the credential's date is not the request's");
  const auto canonical = canonical_request(request, claim);
  if (!canonical) return canonical.error();
  const std::string to_sign = fmt::format("{}\n{}\n{}/{}/{}/aws4_request\n{}", algorithm, *date_header, claim.date,
                                          claim.region, claim.service, crypto::sha256_hex(*canonical));
  crypto::Sha256Digest key = crypto::hmac_sha256(as_bytes("AWS4" + std::string(secret)), claim.date);
  for (const std::string_view part :
       {std::string_view(claim.region), std::string_view(claim.service), std::string_view("aws4_request")}) {
    key = crypto::hmac_sha256(ByteView(key), part);
  }
  const std::string expected = to_hex(crypto::hmac_sha256(ByteView(key), to_sign));
  if (crypto::equal_constant_time(std::string_view(expected), std::string_view(claim.signature))) return {};
  return refuse(
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
      "and signing method.");
}

}  // namespace fleetward::aws
