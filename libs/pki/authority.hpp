// Authorities of others, before they are trusted, and the certificates that they issued, before they are taken in. What
// is refused here would be refused at every handshake, or would be a hole. Pure.
#pragma once

#include <string>

#include "pki/certificate.hpp"

namespace fleetward::pki {

inline constexpr std::size_t authority_der_bytes_max = 8 * 1024;

struct AuthorityInfo {
  CertificateInfo certificate;
  std::string pem;        // the certificate alone, written anew
  std::string subject;    // RFC 2253
  std::string key_id;     // SHA-256 of its SubjectPublicKeyInfo, hex
  bool signs_crl = true;  // its key usage allows it
};

// One certificate in PEM that may sign devices' certificates now: basicConstraints CA, keyCertSign (where a key usage
// stands), in its time, a key that is strong enough (RSA 2048 to 8192, P-256, P-384, P-521, Ed25519, Ed448).
// invalid_argument with what is wrong.
Result<AuthorityInfo> read_authority(std::string_view pem, Instant now);

// SHA-256 of the key of any certificate, as above.
Result<std::string> key_id_of(std::string_view certificate_pem);

// A device's certificate as TLS will want it: in its time, no authority, for clients, signed with a digest that is
// strong enough, a strong key, a serial number that a CRL can name, no probe's name. invalid_argument.
Result<CertificateInfo> read_device_certificate(std::string_view pem, Instant now);

}  // namespace fleetward::pki
