// Incremental HTTP/1.1 parsers: bytes in, whole messages out. Beast behind a small face, so that its weight is in one
// file.
//
// Strict, against request smuggling: CRLF line ends; no message with both Content-Length and Transfer-Encoding, none
// with a coding other than chunked, HTTP/1.1 requests with exactly one Host.
#pragma once

#include <memory>

#include "http/message.hpp"

namespace fleetward::http {

struct ParserLimits {
  std::uint32_t header_bytes_max = 16 << 10;
  std::uint64_t body_bytes_max = 1 << 20;
};

class RequestParser {
 public:
  explicit RequestParser(ParserLimits limits);
  ~RequestParser();

  // Takes bytes in; how many were used. An error is final: invalid_argument (400), or resource_exhausted for a header
  // (`header_too_large()`: 431) or body (413) over its limit.
  Result<std::size_t> put(std::string_view bytes);
  [[nodiscard]] bool has_header() const;
  [[nodiscard]] bool is_done() const;
  [[nodiscard]] bool expects_continue() const;
  [[nodiscard]] bool header_too_large() const;
  [[nodiscard]] bool keep_alive() const;  // of the message that is done
  Request take();                         // the message that is done; the parser is ready for the next

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class ResponseParser {
 public:
  explicit ResponseParser(ParserLimits limits, bool to_head);
  ~ResponseParser();
  Result<std::size_t> put(std::string_view bytes);
  void finish();  // the peer has closed: the end of a body without a length
  [[nodiscard]] bool is_done() const;
  Response take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Status line, headers, Content-Length, and the body unless it answers HEAD.
std::string serialize(const Response& response, bool keep_alive, bool to_head);
std::string serialize(const Request& request, const std::string& host);

}  // namespace fleetward::http
