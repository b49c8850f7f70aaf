// What the server shows in TLS and whom it trusts, from the authority's folder: read, and judged before it is taken.
//
// server.crt (leaf first) and server.key for all TLS listeners; issuing.crt and root.crt for devices' certificates.
// Blocking.
#pragma once

#include "core/time.hpp"
#include "net/tls.hpp"

namespace fleetward::program {

enum class ClientTrust { none, devices };

// The files in which it is, for those who watch them.
std::vector<std::string> server_tls_files(const std::string& folder, ClientTrust trust);

// As it is in the files, whatever it is worth.
Result<net::TlsMaterial> read_server_tls(const std::string& folder, ClientTrust trust);

// The same when a handshake with it can succeed now: the key belongs to the certificate, that is valid at `now`, and so
// is one authority of each file at least (an old one may stand beside it).
Result<net::TlsMaterial> load_server_tls(const std::string& folder, ClientTrust trust, Instant now);

}  // namespace fleetward::program
