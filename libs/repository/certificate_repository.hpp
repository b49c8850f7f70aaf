// Certificates, requests to sign them, and the CRL: the only code that writes their tables. All functions run inside a
// store transaction; a change that gateways must know puts its record on topic `certificates` in the same transaction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fleet/access.hpp"
#include "pki/crl.hpp"
#include "pki/ocsp.hpp"
#include "repository/outbox.hpp"

namespace fleetward::repository {

inline constexpr std::string_view pki_channel = "pki";        // wakes the authority: something to sign or to revoke
inline constexpr std::string_view signed_channel = "signed";  // wakes those who wait for a signature

struct CertificateRow {
  std::string id;  // fingerprint
  std::string pem;
  std::string serial;
  std::string issuer;  // fingerprint of the authority's certificate
  fleet::CertificateStatus status = fleet::CertificateStatus::active;
  std::string thing;  // empty: attached to none
  std::string thing_id;
  Instant not_before;
  Instant not_after;
  Instant created;
  Instant modified;
  std::optional<Instant> revoked;
  bool registered = false;  // of an authority of the operator's own; ours otherwise
  // Its authority's CRL has put it on hold: it is INACTIVE, and this again once that ends.
  std::optional<fleet::CertificateStatus> hold_before;
};

// What the pki role is asked for: a certificate over this key. A probe's is returned in the request and kept nowhere
// else.
struct SigningRequest {
  std::string id;
  bool probe = false;
  std::string thing;  // may be empty: attached later
  std::string thing_id;
  std::string public_key_pem;
  bool active = true;  // status of the certificate
};
struct SigningOutcome {
  bool open = true;
  std::string certificate_pem;
  std::string error;
};

inline constexpr std::int64_t open_requests_max = 10'000;
// throttled: open_requests_max of them wait already.
Status ask_for_certificate(store::Transaction& tx, const SigningRequest& request, Instant now);
Result<SigningOutcome> signing_outcome(store::Transaction& tx, const std::string& id);
// For the pki role.
Result<std::vector<SigningRequest>> open_signing_requests(store::Transaction& tx, std::int64_t limit);
// `issuer` is the fingerprint of the authority's certificate. No effect when the request is no longer open: an
// authority that signed it too was first.
Status finish_signing(store::Transaction& tx, const SigningRequest& request, const std::string& certificate_pem,
                      const std::string& issuer, Instant now);
Status fail_signing(store::Transaction& tx, const SigningRequest& request, const std::string& why);
Status forget_old_requests(store::Transaction& tx, Instant before);

Result<std::optional<CertificateRow>> find_certificate(store::Transaction& tx, const std::string& id);
Result<std::vector<CertificateRow>> certificates_of(store::Transaction& tx, const std::string& thing);
// For authority_repository: what a query for certificate_columns() found.
std::string_view certificate_columns();
Result<std::vector<CertificateRow>> certificate_rows(const Result<store::Rows>& rows);
// By id, those after `after`.
Result<std::vector<CertificateRow>> list_certificates(store::Transaction& tx, const std::string& after,
                                                      std::int64_t limit);

// not_found; failed_precondition: attached to another thing, or revoked. Thing empty: detach.
Status attach_certificate(store::Transaction& tx, const std::string& id, const std::string& thing,
                          const std::string& thing_id, Instant now);
// ACTIVE and INACTIVE; a revoked one never comes back, and one that its authority holds is not ACTIVE before that ends
// (failed_precondition).
Status set_certificate_status(store::Transaction& tx, const std::string& id, fleet::CertificateStatus status,
                              Instant now);
// For good. Again is no error. One of another's authority is refused from now on; only its authority can put it into a
// CRL.
Status revoke_certificate(store::Transaction& tx, const std::string& id, pki::RevocationReason reason, Instant now);
// Its record once more, for gateways that may have lost it.
Status say_certificate_again(store::Transaction& tx, const std::string& id, Instant now);
// Has the authority issue the next CRL now, whatever the last one holds.
Status ask_for_new_crl(store::Transaction& tx);

// For authority_repository: a certificate of another's is taken in, with its record. already_exists: it is there, or
// another one with its serial number.
Status insert_registered(store::Transaction& tx, const CertificateRow& row, Instant now);
// Its authority has put it on hold, or lifted that. No effect on a revoked one, nor a second time.
Status hold_certificate(store::Transaction& tx, const CertificateRow& row, Instant now);
Status lift_certificate(store::Transaction& tx, const CertificateRow& row, Instant now);

// Our own that are revoked and belong into the CRL of `now`, until one CRL past their expiry: by serial, those after
// `after`, revoked_page at most.
constexpr std::size_t revoked_page = 20'000;
Result<std::vector<pki::RevokedEntry>> revoked_entries(store::Transaction& tx, Instant now, Millis crl_lifetime,
                                                       const std::string& after = "");
// Of our own certificates alone: others may have the same serial.
Result<pki::CertificateState> state_of_serial(store::Transaction& tx, const std::string& serial);

struct CrlRow {
  std::int64_t number = 0;
  Bytes der;
  Instant this_update;
  Instant next_update;
  std::int64_t revocations = 0;  // how many there were ever when it was made: another number means it is behind
};
// Without its bytes when it is the one of number `known_number`: those may be many megabytes.
Result<std::optional<CrlRow>> load_crl(store::Transaction& tx, std::int64_t known_number = 0);
Status save_crl(store::Transaction& tx, const CrlRow& crl);
// Of our own.
Result<std::int64_t> revocation_count(store::Transaction& tx);

}  // namespace fleetward::repository
