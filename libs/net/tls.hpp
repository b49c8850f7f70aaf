// TLS settings, made into a context once and swapped whole when they change.
//
// A context is immutable and shared; connections made earlier keep theirs. Tickets of an older one are not taken up.
// Private keys are text from a file of the operator's; they are in no error. TLS 1.2 and newer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "core/text.hpp"

struct ssl_ctx_st;

namespace fleetward::net {

// What of a server's settings comes from files, and may change while it runs.
struct TlsMaterial {
  std::string certificate_chain_pem;  // leaf first
  std::string private_key_pem;
  std::string client_ca_pem;  // authorities of client certificates; of no use to a server that wants none
};

struct TlsServerConfig {
  std::string certificate_chain_pem;  // leaf first
  std::string private_key_pem;
  std::string client_ca_pem;  // authorities of client certificates; empty: clients need none
  bool require_client_certificate = false;
  bool resumption = false;        // session tickets (TLS 1.2 and 1.3); off, a handshake costs a third less
  std::vector<std::string> alpn;  // protocols we speak, best first; a client that offers none of them is refused
};

struct TlsClientConfig {
  std::string ca_pem;                 // authorities that we trust; nothing else is
  std::string certificate_chain_pem;  // ours, may be empty
  std::string private_key_pem;
  std::string server_name;  // a DNS name (also sent as SNI) or an IP address: what the certificate must be for
  std::vector<std::string> alpn;
};

// What a verified peer turned out to be.
struct TlsInfo {
  Bytes peer_certificate_der;    // leaf; empty without one
  std::string peer_fingerprint;  // SHA-256 of it, hex
  bool resumed = false;
  std::string version;  // TLSv1.3
  std::string cipher;
  std::string alpn;
  std::string server_name;  // SNI, servers only; text from the peer
};

class TlsContext {
 public:
  static Result<std::shared_ptr<const TlsContext>> for_server(const TlsServerConfig& config);
  static Result<std::shared_ptr<const TlsContext>> for_client(const TlsClientConfig& config);

  [[nodiscard]] ssl_ctx_st* native() const { return context_.get(); }
  [[nodiscard]] const std::string& server_name() const { return server_name_; }

 private:
  TlsContext() = default;
  std::shared_ptr<ssl_ctx_st> context_;
  std::string server_name_;
  std::vector<std::uint8_t> alpn_wire_;
};

}  // namespace fleetward::net
