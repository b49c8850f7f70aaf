// HTTP/1.1 messages as values. The target stays as it was sent: signatures are made over the raw text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"
#include "net/connection.hpp"

namespace fleetward::http {

struct Header {
  std::string name;
  std::string value;
};
using Headers = std::vector<Header>;

// The first of that name, in any case; nullptr when there is none.
const std::string* find_header(const Headers& headers, std::string_view name);

struct Request {
  std::string method;  // GET, POST, …
  std::string target;  // as sent: /things/a%2Fb?maxResults=5
  Headers headers;
  std::string body;
  net::Endpoint peer;

  [[nodiscard]] std::string_view path() const;   // raw, before '?'
  [[nodiscard]] std::string_view query() const;  // raw, after '?'; may be empty
  // Decoded pairs in order; '+' stays a plus. invalid_argument when the encoding is broken.
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> query_pairs() const;
  [[nodiscard]] const std::string* header(std::string_view name) const { return find_header(headers, name); }
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

// How long not to ask again, by an answer's Retry-After in seconds, at most an hour. Its other form, a date, is rare
// and a backoff of our own does as well.
std::optional<Millis> retry_after(const Response& response);

Response text_response(int status, std::string body, std::string content_type = "text/plain; charset=utf-8");
std::string_view reason_phrase(int status);

// http://host:port/path or https://…; only these two, no user information.
struct Url {
  bool tls = false;
  std::string host;
  std::uint16_t port = 0;
  std::string target = "/";
};
Result<Url> parse_url(std::string_view text);

}  // namespace fleetward::http
