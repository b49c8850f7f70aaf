// The certificate authority's files in the data folder: made once, renewed where they are short-lived.
//
// root.key and root.crt (the key may be moved away after the start), issuing.key/.crt, ocsp.key/.crt, server.key/.crt
// (the server's chain: leaf and issuing). Keys are 0600. Blocking; main thread.
#pragma once

#include <string>
#include <vector>

#include "core/time.hpp"
#include "crypto/random.hpp"
#include "pki/certificate.hpp"

namespace fleetward::pki_role {

struct AuthorityFiles {
  std::string folder;
  [[nodiscard]] std::string path(std::string_view name) const;
};

// Makes what is missing and renews the server's and the OCSP responder's certificates when a third of their life is
// left, or when the server's names changed. Idempotent. The root's key is needed only while there is no issuing
// authority. The pki role renews the OCSP responder by itself. A server's certificate is renewed by this alone, so by
// `fleetward init` (from a timer, for instance); a running server takes the new one.
// failed_precondition: a certificate is there whose key is missing.
Status bootstrap_authority(const std::string& folder, const std::vector<std::string>& host_names, Instant now,
                           crypto::Random& random);

// The OCSP responder's part of it.
Status renew_responder(const std::string& folder, Instant now, crypto::Random& random);

// One file of the folder; `secret` ones must be readable by their owner alone, else failed_precondition.
Result<std::string> read_authority_file(const std::string& folder, std::string_view name, bool secret = false);

// Writes a file whole or not at all: beside it, synced, renamed. 0600 when `secret`, else 0644.
Status write_file(const std::string& path, std::string_view text, bool secret);

}  // namespace fleetward::pki_role
