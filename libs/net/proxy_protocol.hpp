// The header that a load balancer puts before a connection (PROXY protocol, version 2): who is really at the other end.
//
// Only version 2, only TCP. Version 1, other transports and anything else are refused: whoever may send a header at all
// is configured, so what is not one is a mistake or an attack. Pure, thread-safe. Limit: proxy_header_bytes_max.
#pragma once

#include <optional>

#include "core/text.hpp"
#include "net/connection.hpp"

namespace fleetward::net {

constexpr std::size_t proxy_header_bytes_max =
    16 + 2048;  // addresses, and additions (TLVs) of certificates and the like

struct ProxyHeader {
  std::optional<Endpoint> source;  // none: the balancer itself speaks (LOCAL, or a transport unknown to it)
  std::size_t bytes = 0;           // of the header: what the peer says starts behind it
};

// nullopt: it is not whole yet. invalid_argument: it is none, and never will be; told at the first byte that differs.
Result<std::optional<ProxyHeader>> read_proxy_header(ByteView bytes);

}  // namespace fleetward::net
