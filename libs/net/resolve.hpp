// Names to addresses, and which addresses are of the public internet: for requests to places that others name.
//
// Who resolves a name, judges its addresses and then connects to one of them by number is not led elsewhere by a second
// answer. resolve() is for the scheduler's thread; is_public_address() is pure.
#pragma once

#include <string>
#include <vector>

#include "async/scope.hpp"

namespace fleetward::net {

// At least one address, in the system's order, at most 16; an address is its own. unavailable: the name has none;
// deadline_exceeded.
async::Task<Result<std::vector<std::string>>> resolve(async::Scheduler& scheduler, std::string host, Millis limit);

// Globally reachable by IANA's special-purpose registries: not private, loopback, link-local, shared, documentation,
// multicast or reserved, nor an IPv6 address that stands for such an IPv4 one. What is no address is not.
bool is_public_address(const std::string& address);

}  // namespace fleetward::net
