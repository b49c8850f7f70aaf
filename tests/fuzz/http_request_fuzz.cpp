// HTTP requests: however the bytes are cut into reads the same requests come of them, none of them over a limit or
// with two meanings.
#include <vector>

#include "fuzz/target.hpp"
#include "http/parser.hpp"

namespace fleetward::fuzz {
namespace {

constexpr http::ParserLimits limits{512, 1024};

std::string text_of(const http::Request& r) {
  std::string text = fmt::format("{}|{}|{}|", printable(r.method), printable(r.target, 2048), to_hex(as_bytes(r.body)));
  for (const http::Header& h : r.headers) text += fmt::format("{}={}|", printable(h.name), printable(h.value, 2048));
  return text;
}

void check(const http::Request& r) {
  expect(r.body.size() <= limits.body_bytes_max, "the body is within its limit");
  expect(r.method.find_first_of(" \r\n") == std::string::npos, "a method is one word");
  expect(r.target.find_first_of(" \r\n") == std::string::npos, "a target is one word");
  std::size_t lengths = 0;
  std::size_t codings = 0;
  std::size_t hosts = 0;
  for (const http::Header& h : r.headers) {
    expect(h.value.find_first_of("\r\n") == std::string::npos, "a header's value is one line");
    lengths += iequals(h.name, "Content-Length") ? 1U : 0U;
    codings += iequals(h.name, "Transfer-Encoding") ? 1U : 0U;
    hosts += iequals(h.name, "Host") ? 1U : 0U;
  }
  expect(lengths <= 1 && codings <= 1 && lengths + codings <= 1, "a body's end has one meaning");
  expect(hosts <= 1, "it is for one host");
  const auto pairs = r.query_pairs();
  expect(!pairs || pairs->size() <= r.target.size() + 1, "pairs are bounded by the target");
}

struct Reading {
  std::vector<std::string> requests;
  bool header_too_large = false;
};

// Where it ends does not show: a header that is refused when it comes in one piece may in several be waited for longer,
// up to its limit.
Reading read_all(std::string_view bytes, std::optional<std::uint8_t> seed) {
  http::RequestParser parser(limits);
  Reading out;
  Pieces pieces(bytes, seed.value_or(0));
  std::string_view piece = seed ? pieces.next() : bytes;
  while (!piece.empty()) {
    const auto used = parser.put(piece);
    if (!used) break;
    expect(*used <= piece.size(), "it uses no more than it was given");
    expect(*used > 0 || parser.is_done(), "it goes on");
    piece.remove_prefix(*used);
    if (parser.is_done()) {
      const bool keep_alive = parser.keep_alive();
      const http::Request request = parser.take();
      check(request);
      out.requests.push_back(text_of(request) + (keep_alive ? "keep" : "close"));
    }
    if (piece.empty() && seed) piece = pieces.next();
  }
  out.header_too_large = parser.header_too_large();
  return out;
}

// Beast counts a header that comes in pieces some bytes differently: at its limit the one reading may end sooner.
void expect_same(Reading whole, Reading pieces) {
  if (whole.header_too_large || pieces.header_too_large) {
    const std::size_t both = std::min(whole.requests.size(), pieces.requests.size());
    whole.requests.resize(both);
    pieces.requests.resize(both);
  }
  expect(whole.requests == pieces.requests,
         fmt::format("the same requests whatever the pieces:\n  {}\nand\n  {}", fmt::join(whole.requests, "\n  "),
                     fmt::join(pieces.requests, "\n  ")));
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward::fuzz;
  Input input(data, size);
  const std::uint8_t seed = input.byte();
  expect_same(read_all(input.rest(), std::nullopt), read_all(input.rest(), seed));
  const auto url = fleetward::http::parse_url(input.rest());
  expect(!url || !url->host.empty(), "a URL has a host");
  return 0;
}
