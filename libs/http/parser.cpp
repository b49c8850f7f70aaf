#include "http/parser.hpp"

#include <boost/beast/http/impl/basic_parser.ipp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/src.hpp>

#include "core/text.hpp"

namespace fleetward::http {
namespace {

namespace beast_http = boost::beast::http;
namespace asio = boost::asio;

// `header_done` is called once, before anything behind the header is read.
template <class Parser, class HeaderDone>
Result<std::size_t> put_all(Parser& parser, std::string& pending, std::string_view bytes, bool& header_too_large,
                            HeaderDone header_done) {
  // Beast wants a whole header in one piece: what it could not use yet is kept in front of what comes.
  pending.append(bytes);
  std::size_t used = 0;
  while (!parser.is_done() && used < pending.size()) {
    boost::system::error_code error;
    const std::size_t n = parser.put(asio::buffer(pending.data() + used, pending.size() - used), error);
    used += n;
    if (parser.is_header_done() && !parser.eager()) {
      parser.eager(true);
      if (const Status fine = header_done(); !fine) return fine.error();
    }
    if (error == beast_http::error::need_more) break;
    if (error == beast_http::error::header_limit || error == beast_http::error::buffer_overflow) {
      header_too_large = true;
      return Error(ErrorCode::resource_exhausted, "the header is too large");
    }
    if (error == beast_http::error::body_limit) return Error(ErrorCode::resource_exhausted, "the body is too large");
    if (error) return Error(ErrorCode::invalid_argument, "not HTTP/1.1: " + error.message());
    if (n == 0) break;
  }
  const std::size_t kept_before = pending.size() - bytes.size();
  if (parser.is_done()) {
    const std::size_t used_of_new = used > kept_before ? used - kept_before : 0;
    pending.clear();
    return used_of_new;
  }
  pending.erase(0, used);
  return bytes.size();
}

template <class Fields>
Headers headers_of(const Fields& fields) {
  Headers out;
  for (const auto& field : fields) out.push_back({std::string(field.name_string()), std::string(field.value())});
  return out;
}

// What Beast lets pass and two readers could take for different messages (RFC 9112 sections 3.2, 6.1).
template <class Message>
Status check_header(const Message& message) {
  const auto count = [&message](beast_http::field name) { return message.count(name); };
  const std::size_t encodings = count(beast_http::field::transfer_encoding);
  if (encodings > 0) {
    const std::string coding(message[beast_http::field::transfer_encoding]);
    if (encodings > 1 || !iequals(coding, "chunked") || message.version() < 11)
      return Error(ErrorCode::invalid_argument, "not HTTP/1.1: a transfer encoding other than chunked");
    if (count(beast_http::field::content_length) > 0)
      return Error(ErrorCode::invalid_argument, "not HTTP/1.1: both a length and a transfer encoding");
  }
  if (count(beast_http::field::content_length) > 1)
    return Error(ErrorCode::invalid_argument, "not HTTP/1.1: two lengths, be they equal");
  const std::size_t hosts = count(beast_http::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() >= 11))
    return Error(ErrorCode::invalid_argument, "not HTTP/1.1: it takes one Host");
  return {};
}

// A header value of ours with a line break in it would be another header: it is cut there.
std::string_view one_line(std::string_view value) { return value.substr(0, value.find_first_of("\r\n")); }

}  // namespace

struct RequestParser::State {
  explicit State(ParserLimits l) : limits(l) { renew(); }
  void renew() {
    headers.clear();
    parser.emplace();
    parser->eager(false);  // until its header is done
    parser->header_limit(limits.header_bytes_max);
    parser->body_limit(limits.body_bytes_max);
  }
  // As they are now: Beast adds the fields behind a chunked body to them, which nobody has judged.
  Status keep_header() {
    const auto& message = parser->get();
    headers = headers_of(message);
    keep_alive = message.keep_alive();
    expects_continue = iequals(std::string(message[beast_http::field::expect]), "100-continue");
    return check_header(message);
  }
  ParserLimits limits;
  std::optional<beast_http::request_parser<beast_http::string_body>> parser;
  std::string pending;
  bool header_too_large = false;
  Headers headers;
  bool keep_alive = false;
  bool expects_continue = false;
};

RequestParser::RequestParser(ParserLimits limits) : state_(std::make_unique<State>(limits)) {}
RequestParser::~RequestParser() = default;

Result<std::size_t> RequestParser::put(std::string_view bytes) {
  return put_all(*state_->parser, state_->pending, bytes, state_->header_too_large,
                 [this] { return state_->keep_header(); });
}
bool RequestParser::has_header() const { return state_->parser->is_header_done(); }
bool RequestParser::is_done() const { return state_->parser->is_done(); }
bool RequestParser::header_too_large() const { return state_->header_too_large; }
bool RequestParser::keep_alive() const { return state_->keep_alive; }
bool RequestParser::expects_continue() const { return has_header() && state_->expects_continue; }

Request RequestParser::take() {
  auto message = state_->parser->release();
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.headers = std::move(state_->headers);
  request.body = std::move(message.body());
  state_->renew();
  return request;
}

struct ResponseParser::State {
  beast_http::response_parser<beast_http::string_body> parser;
  std::string pending;
  bool header_too_large = false;
};

ResponseParser::ResponseParser(ParserLimits limits, bool to_head) : state_(std::make_unique<State>()) {
  state_->parser.eager(true);
  state_->parser.header_limit(limits.header_bytes_max);
  state_->parser.body_limit(limits.body_bytes_max);
  if (to_head) state_->parser.skip(true);
}
ResponseParser::~ResponseParser() = default;

Result<std::size_t> ResponseParser::put(std::string_view bytes) {
  return put_all(state_->parser, state_->pending, bytes, state_->header_too_large, [] { return Status(); });
}

void ResponseParser::finish() {
  if (!state_->parser.got_some()) return;
  boost::system::error_code incomplete;  // then is_done() stays false, which is what the caller asks
  state_->parser.put_eof(incomplete);
}

bool ResponseParser::is_done() const { return state_->parser.is_done(); }

Response ResponseParser::take() {
  auto message = state_->parser.release();
  Response response;
  response.status = static_cast<int>(message.result_int());
  response.headers = headers_of(message);
  response.body = std::move(message.body());
  return response;
}

std::string serialize(const Response& response, bool keep_alive, bool to_head) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const Header& h : response.headers) out += fmt::format("{}: {}\r\n", h.name, one_line(h.value));
  const bool without_body = response.status == 204 || response.status == 304;
  if (!without_body) out += fmt::format("Content-Length: {}\r\n", response.body.size());
  out += keep_alive ? "\r\n" : "Connection: close\r\n\r\n";
  if (!to_head && !without_body) out += response.body;
  return out;
}

std::string serialize(const Request& request, const std::string& host) {
  std::string out = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target, host);
  for (const Header& h : request.headers) out += fmt::format("{}: {}\r\n", h.name, one_line(h.value));
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH") {
    out += fmt::format("Content-Length: {}\r\n", request.body.size());
  }
  return out + "Connection: close\r\n\r\n" + request.body;
}

}  // namespace fleetward::http
