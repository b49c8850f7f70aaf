// Authorities of the operator's own: who they are, and the certificates of theirs that were taken in. With
// authority_feed the only code that writes their table. All functions run inside a store transaction; what gateways
// must know (an authority's standing, a certificate's) goes onto topic `certificates` in the same transaction. Limit:
// authorities_max.
#pragma once

#include <string>
#include <vector>

#include "fleet/access.hpp"
#include "pki/authority.hpp"
#include "repository/certificate_repository.hpp"

namespace fleetward::repository {

inline constexpr std::size_t authorities_max = 50;
inline constexpr std::string_view authorities_channel = "authorities";  // wakes the reader of CRLs

struct FeedState {
  std::string number;    // of the CRL in force, hex; empty: it has none, or there is no CRL yet
  std::string digest;    // SHA-256 of its bytes; empty: there is no CRL yet
  bool applied = false;  // all of its entries are in force
  Instant this_update;
  Instant next_update;
  std::int64_t entries = 0;
  Instant read;       // when it was looked at last with success, changed or not
  std::string error;  // why the last look failed; empty: it did not
  Instant failed;     // since when looks have failed
};

struct AuthorityRow {
  std::string id;  // fingerprint
  std::string pem;
  std::string subject;
  std::string key_id;
  fleet::AuthorityStatus status = fleet::AuthorityStatus::inactive;
  std::string mode;  // DEFAULT: it was proven that its key is at hand; SNI_ONLY: not
  Instant not_before;
  Instant not_after;
  Instant created;
  Instant modified;
  std::string crl_source;  // an http(s) URL, or the name of a file; empty: none
  Millis crl_every{0};
  FeedState feed;
};

// already_exists; resource_exhausted: authorities_max are there.
Status register_authority(store::Transaction& tx, const pki::AuthorityInfo& info, fleet::AuthorityStatus status,
                          const std::string& mode, Instant now);
Result<AuthorityRow> get_authority(store::Transaction& tx, const std::string& id);  // not_found
// By creation; at most authorities_max.
Result<std::vector<AuthorityRow>> list_authorities(store::Transaction& tx);
// Again is no error.
Status set_authority_status(store::Transaction& tx, const std::string& id, fleet::AuthorityStatus status, Instant now);
// Its certificates stay, and are refused. failed_precondition while it is ACTIVE.
Status delete_authority(store::Transaction& tx, const std::string& id, Instant now);

// ---- certificates of theirs

struct RegisteredCertificate {
  std::string id;
  std::string authority;
};
// `authority_pem`: whose it is; empty: it is found among those that are registered. Errors: already_exists;
// invalid_argument: it is no device's certificate, or of nobody who is registered; conflict: several are possible, say
// which; failed_precondition: its authority is not ACTIVE, or has revoked it. One that its authority has put on hold is
// taken in as INACTIVE until that ends.
Result<RegisteredCertificate> register_certificate(store::Transaction& tx, const std::string& pem,
                                                   const std::string& authority_pem, fleet::CertificateStatus status,
                                                   Instant now);
// By id, those after `after`; descending: those before it, from the end when it is empty.
Result<std::vector<CertificateRow>> certificates_by_authority(store::Transaction& tx, const std::string& authority,
                                                              const std::string& after, bool is_ascending,
                                                              std::int64_t limit);
// How many of its certificates here are revoked or on hold.
Result<std::int64_t> stopped_certificates(store::Transaction& tx, const std::string& authority);

}  // namespace fleetward::repository
