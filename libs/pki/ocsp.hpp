// OCSP (RFC 6960): a responder's answers, and the question and check of a client.
//
// The responder signs with a delegated certificate, takes SHA-1 and SHA-256 ids, echoes a nonce of 1 to 128 octets
// (RFC 9654; others are malformedRequest), answers `unknown` for serials that were never issued and `unauthorized` for
// other issuers. Pure. Limits: request_bytes_max, ids_max.
#pragma once

#include <functional>
#include <optional>
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

// A responder with all that is the same in its answers made ready. Immutable: thread-safe.
class OcspResponder {
 public:
  // invalid_argument: a certificate cannot be read, or the key is not the delegate's.
  static Result<OcspResponder> make(const OcspSigner& signer);

  using LookUp = std::function<CertificateState(const std::string& serial)>;  // serial: hex, whatever was asked for
  [[nodiscard]] OcspAnswer answer(ByteView request_der, const LookUp& look_up, Instant now, Millis validity) const;

 private:
  struct IssuerId {  // as requests name it
    Bytes name_hash;
    Bytes key_hash;
  };
  explicit OcspResponder(crypto::PrivateKey key) : key_(std::move(key)) {}
  [[nodiscard]] bool is_ours(const IssuerId& asked, int digest_nid) const;
  [[nodiscard]] OcspAnswer sign(ByteView responses, const std::optional<Bytes>& nonce, Instant now) const;

  crypto::PrivateKey key_;
  IssuerId by_sha1_, by_sha256_;
  Bytes responder_id_;  // DER, as it stands in the answer
  Bytes certificates_;
};

// One answer of a signer that is not kept. internalError when it cannot be used.
OcspAnswer answer_ocsp(ByteView request_der, const OcspSigner& signer, const OcspResponder::LookUp& look_up,
                       Instant now, Millis validity);

// A question about one certificate, with SHA-256 ids.
Result<Bytes> make_ocsp_request(std::string_view certificate_pem, std::string_view issuer_pem);
// The unsigned answer of a responder that has too much to do (tryLater, 3).
OcspAnswer ocsp_try_later();

// What a client makes of the answer: signature by the issuer or its delegate, for this certificate, not stale at `now`
// (failed_precondition; a minute of skew is allowed).
Result<CertificateState> read_ocsp_answer(ByteView der, std::string_view certificate_pem, std::string_view issuer_pem,
                                          Instant now);

}  // namespace fleetward::pki
