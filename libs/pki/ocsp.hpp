// OCSP (RFC 6960): a responder's answers, and the question and check of a client.
//
// The responder signs with a delegated certificate, takes SHA-1 and SHA-256 ids, echoes a nonce of 1 to 128 octets
// (RFC 9654; others are malformedRequest), answers `unknown` for serials that were never issued and `unauthorized` for
// other issuers. Pure. Limits: request_bytes_max, ids_max.
#pragma once

#include <functional>
#include <string>

#include "pki/crl.hpp"

namespace fleetward::pki {

inline constexpr std::size_t ocsp_request_bytes_max = 8 * 1024;
inline constexpr int ocsp_ids_max = 16;

struct CertificateState {
  enum class Kind { good, revoked, unknown } kind = Kind::unknown;
  Instant revoked_at;
  RevocationReason reason = RevocationReason::unspecified;
};

struct OcspSigner {
  crypto::PrivateKey key;
  std::string certificate_pem;  // delegated, issued by the issuer
  std::string issuer_pem;
};

struct OcspAnswer {
  Bytes der;
  bool has_nonce = false;  // then it is for this asker alone: not to be cached
  bool is_error = false;   // an unsigned error status
};

OcspAnswer answer_ocsp(ByteView request_der, const OcspSigner& signer,
                       const std::function<CertificateState(const std::string& serial)>& look_up, Instant now,
                       Millis validity);

// A question about one certificate, with SHA-256 ids.
Result<Bytes> make_ocsp_request(std::string_view certificate_pem, std::string_view issuer_pem);
// The unsigned answer of a responder that has too much to do (tryLater, 3).
OcspAnswer ocsp_try_later();

// What a client makes of the answer: signature by the issuer or its delegate, for this certificate, not stale at `now`
// (failed_precondition; a minute of skew is allowed).
Result<CertificateState> read_ocsp_answer(ByteView der, std::string_view certificate_pem, std::string_view issuer_pem,
                                          Instant now);

}  // namespace fleetward::pki
