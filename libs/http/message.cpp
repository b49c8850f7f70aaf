#include "http/message.hpp"

#include <charconv>

#include "core/text.hpp"

namespace fleetward::http {

const std::string* find_header(const Headers& headers, std::string_view name) {
  for (const Header& h : headers) {
    if (iequals(h.name, name)) return &h.value;
  }
  return nullptr;
}

std::string_view Request::path() const { return std::string_view(target).substr(0, target.find('?')); }

std::string_view Request::query() const {
  const auto mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

Result<std::vector<std::pair<std::string, std::string>>> Request::query_pairs() const {
  std::vector<std::pair<std::string, std::string>> out;
  if (query().empty()) return out;
  for (const std::string_view part : split(query(), '&')) {
    if (part.empty()) continue;
    const auto equals = part.find('=');
    auto name = percent_decode(part.substr(0, equals));
    auto value = percent_decode(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
    if (!name) return name.error();
    if (!value) return value.error();
    out.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

std::optional<Millis> retry_after(const Response& response) {
  constexpr Millis longest = std::chrono::hours(1);
  const std::string* text = find_header(response.headers, "Retry-After");
  if (text == nullptr) return std::nullopt;
  std::uint32_t seconds = 0;
  const auto [end, failed] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (failed != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return std::min<Millis>(std::chrono::seconds(seconds), longest);
}

Response text_response(int status, std::string body, std::string content_type) {
  return Response{status, {{"Content-Type", std::move(content_type)}}, std::move(body)};
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

Result<Url> parse_url(std::string_view text) {
  const Error bad(ErrorCode::invalid_argument,
                  fmt::format("{} is not an http:// or https:// address", printable(text)));
  Url url;
  if (text.starts_with("https://")) {
    url.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return bad;
  }
  url.port = url.tls ? 443 : 80;
  const auto slash = text.find_first_of("/?");
  std::string_view authority = text.substr(0, slash);
  if (slash != std::string_view::npos)
    url.target = std::string(text[slash] == '?' ? "/" : "") + std::string(text.substr(slash));
  if (authority.find('@') != std::string_view::npos) return bad;
  std::string_view port;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return bad;
    url.host = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else {
    const auto colon = authority.find(':');
    url.host = authority.substr(0, colon);
    port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
  }
  if (url.host.empty()) return bad;
  if (!port.empty()) {
    if (port[0] != ':') return bad;
    port.remove_prefix(1);
    const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    if (failed != std::errc() || end != port.data() + port.size() || url.port == 0) return bad;
  }
  return url;
}

}  // namespace fleetward::http
