// A load balancer's header, held against the specification read a second time: what is told of it is what stands there,
// and however it is cut into reads nothing else comes of it.
#include <arpa/inet.h>

#include <array>
#include <cstring>

#include "fuzz/target.hpp"
#include "net/proxy_protocol.hpp"

namespace fleetward::fuzz {
namespace {

using Read = Result<std::optional<net::ProxyHeader>>;

constexpr std::size_t fixed_bytes = 16;
constexpr std::string_view signature("\r\n\r\n\0\r\nQUIT\n", 12);

std::size_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<unsigned char>(bytes[at]); }
std::size_t number_at(std::string_view bytes, std::size_t at) {
  return byte_at(bytes, at) << 8 | byte_at(bytes, at + 1);
}

// The source must be the text of just these bytes: turned back into an address it gives them.
void check_source(const net::Endpoint& source, std::string_view header) {
  const std::size_t family = byte_at(header, 13);
  expect(byte_at(header, 12) == 0x21, "LOCAL has no source");
  expect(family == 0x11 || family == 0x21, "a source is of TCP");
  const bool is_v4 = family == 0x11;
  const std::size_t address_bytes = is_v4 ? 4 : 16;
  expect(header.size() >= fixed_bytes + 2 * address_bytes + 4, "both addresses and ports are in the header");
  std::array<char, 16> address{};
  expect(inet_pton(is_v4 ? AF_INET : AF_INET6, source.host.c_str(), address.data()) == 1,
         "an address: " + printable(source.host));
  expect(std::memcmp(address.data(), header.data() + fixed_bytes, address_bytes) == 0,
         "the first address: " + source.host);
  expect(source.port == number_at(header, fixed_bytes + 2 * address_bytes), fmt::format("port {}", source.port));
}

void check_header(const net::ProxyHeader& header, std::string_view bytes) {
  expect(header.bytes <= bytes.size() && header.bytes <= net::proxy_header_bytes_max, "it ends within its limit");
  expect(bytes.starts_with(signature), "it has the signature");
  expect(header.bytes == fixed_bytes + number_at(bytes, 14), "its length is the one that it tells");
  if (header.source) check_source(*header.source, bytes.substr(0, header.bytes));
}

bool is_same(const Read& a, const Read& b) {
  if (!a || !b) return a.ok() == b.ok() && a.error().message == b.error().message;
  if (!a->has_value() || !b->has_value()) return a->has_value() == b->has_value();
  return (*a)->source == (*b)->source && (*a)->bytes == (*b)->bytes;
}

// As a connection asks: again with each read that brings more, up to a word that then stands.
void check_pieces(std::string_view bytes, std::uint8_t seed, const Read& whole) {
  Pieces pieces(bytes, seed);
  std::size_t known = 0;
  for (auto piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
    known += piece.size();
    const Read read = net::read_proxy_header(as_bytes(bytes.substr(0, known)));
    if (read && !*read) {
      expect(known < net::proxy_header_bytes_max, "what waits for more is within the limit");
      continue;
    }
    return expect(is_same(read, whole), fmt::format("the same at {} bytes as at {}", known, bytes.size()));
  }
  expect(whole.ok() && !whole->has_value(), "what waited to the end waits");
}

}  // namespace
}  // namespace fleetward::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fleetward::fuzz;
  Input input(data, size);
  const std::uint8_t seed = input.byte();
  const Read read = fleetward::net::read_proxy_header(fleetward::as_bytes(input.rest()));
  if (read && *read) check_header(**read, input.rest());
  check_pieces(input.rest(), seed, read);
  return 0;
}
