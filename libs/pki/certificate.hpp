// X.509 certificates and signing requests (RFC 5280, RFC 2986): made, read, checked. Pure: keys, time and randomness
// are handed in. Keys are P-256.
//
// What comes from outside (PEM, DER) is bounded by pem_bytes_max before it is parsed.
#pragma once

#include <string>
#include <vector>

#include "core/time.hpp"
#include "crypto/key.hpp"
#include "crypto/random.hpp"

namespace fleetward::pki {

inline constexpr std::size_t pem_bytes_max = 64 * 1024;

struct CertificateInfo {
  std::string fingerprint;        // SHA-256 of the DER, hex: the certificate id of the API
  std::string serial;             // hex, without leading zeros
  std::string common_name;        // UTF-8; empty when there is none
  std::string issuer_name;        // RFC 2253
  std::vector<std::string> uris;  // subjectAltName
  Instant not_before;
  Instant not_after;
  bool is_authority = false;
};
Result<CertificateInfo> read_certificate(std::string_view pem);
Result<CertificateInfo> read_certificate_der(ByteView der);
std::string pem_of_der(ByteView der);
// Each certificate of a text that holds several, from its first line on; whatever stands between them is with the one
// before. A view each, not yet looked at.
std::vector<std::string_view> certificates_in(std::string_view text);
Result<Bytes> der_of_pem(std::string_view pem);

// An authority that can sign.
struct Issuer {
  crypto::PrivateKey key;
  std::string certificate_pem;
};

// Self-signed; path length 1, so one level of issuing authorities below it.
Result<std::string> make_root(const crypto::PrivateKey& key, std::string_view name, Instant now, Millis lifetime,
                              crypto::Random& random);
// Path length 0: signs end entities only.
Result<std::string> make_issuing(const Issuer& root, const crypto::PublicKey& key, std::string_view name, Instant now,
                                 Millis lifetime, crypto::Random& random);

enum class Purpose {
  device,     // TLS client
  probe,      // TLS client for at most probe_lifetime_max
  server,     // TLS server
  responder,  // signs OCSP answers for the issuer (id-pkix-ocsp-nocheck)
};
inline constexpr Millis probe_lifetime_max{15 * 60'000};

struct LeafRequest {
  Purpose purpose = Purpose::device;
  std::string common_name;  // at most 128 bytes; over 64 it is left out, as RFC 5280 allows no more there
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  std::vector<std::string> uris;
  Millis lifetime{0};
  std::string crl_url;  // empty: left out
  std::string ocsp_url;
};
// notBefore lies 5 minutes back; notAfter is never after the issuer's. The serial has 127 random bits and is positive.
Result<std::string> issue(const Issuer& issuer, const crypto::PublicKey& subject_key, const LeafRequest& request,
                          Instant now, crypto::Random& random);

std::string thing_uri(std::string_view thing);  // urn:fleetward:thing:NAME
std::string probe_uri(std::string_view thing);  // urn:fleetward:probe:NAME
// The thing of a probe certificate: its URI says so and it lives no longer than a probe may. Empty for all others.
std::string probe_thing(const CertificateInfo& info);

// PKCS#10: what is asked for in it is not looked at, but its key, whose possession its signature proves.
Result<std::string> make_signing_request(const crypto::PrivateKey& key, std::string_view common_name);
Result<crypto::PublicKey> read_signing_request(std::string_view pem);

// True when the certificate (the first of the text) is for that DNS name or IP address, by its subjectAltName.
bool is_certificate_for(std::string_view certificate_pem, const std::string& host);

// True when `issuer_pem` signed the certificate (signature and name; not time).
bool is_issued_by(std::string_view certificate_pem, std::string_view issuer_pem);

}  // namespace fleetward::pki
