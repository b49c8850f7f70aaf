// Certificate revocation lists (RFC 5280 section 5): written as a stream of DER, so a million entries need no object
// each.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "pki/certificate.hpp"

namespace fleetward::pki {

// CRLReason of RFC 5280 section 5.3.1.
enum class RevocationReason {
  unspecified = 0,
  key_compromise = 1,
  affiliation_changed = 3,
  superseded = 4,
  cessation_of_operation = 5
};

struct RevokedEntry {
  std::string serial;  // hex
  Instant at;
  RevocationReason reason = RevocationReason::unspecified;
};

// DER of a v2 CRL with authority key identifier and number; `entries` in the order in which they are to stand, a reason
// only where there is one to give. Time linear in the entries, one digest, one signature; no object an entry.
// invalid_argument: a serial that is not hex of at most 20 octets.
Result<Bytes> make_crl(const Issuer& issuer, const std::vector<RevokedEntry>& entries, std::int64_t number,
                       Instant this_update, Instant next_update);

struct CrlInfo {
  std::int64_t number = 0;
  Instant this_update;
  Instant next_update;
  std::unordered_map<std::string, Instant> revoked;  // serial hex to time
};
// Reads and verifies one as a relying party would: the signature must be the issuer's.
Result<CrlInfo> read_crl(ByteView der, std::string_view issuer_pem);

}  // namespace fleetward::pki
