// Certificate revocation lists (RFC 5280 section 5): written as a stream of DER, so a million entries need no object
// each. Pure; a writer belongs to one thread.
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
  ca_compromise = 2,
  affiliation_changed = 3,
  superseded = 4,
  cessation_of_operation = 5,
  certificate_hold = 6,  // may be lifted again
  remove_from_crl = 8,   // it is lifted: only in delta lists, which are not read
  privilege_withdrawn = 9,
  aa_compromise = 10
};

struct RevokedEntry {
  std::string serial;  // hex
  Instant at;
  RevocationReason reason = RevocationReason::unspecified;
};

// A v2 CRL with authority key identifier and number, in one buffer: entry by entry in the order in which they are to
// stand (by serial, as a store keeps them), then one digest and one signature. 35 to 50 bytes an entry and no more.
class CrlWriter {
 public:
  // `entries_expected` makes room; there may be more. invalid_argument: the issuer's certificate cannot be read, or has
  // no subject key identifier.
  static Result<CrlWriter> begin(const Issuer& issuer, std::int64_t number, Instant this_update, Instant next_update,
                                 std::size_t entries_expected);
  // A reason only where there is one to give. invalid_argument: the serial is not hex of at most 20 octets; the list is
  // as it was.
  Status add(std::string_view serial, Instant at, RevocationReason reason);
  // DER, signed by the issuer's key. An error: the key cannot sign now.
  Result<Bytes> finish() &&;

 private:
  explicit CrlWriter(crypto::PrivateKey key) : key_(std::move(key)) {}
  void put_before(std::size_t& at, ByteView bytes);

  crypto::PrivateKey key_;
  Bytes head_;        // what stands before the entries, without headers
  Bytes extensions_;  // and after them
  Bytes list_;        // a gap for headers and head, then the entries
  std::size_t gap_ = 0;
};

// The same of entries that are there already. invalid_argument: as add().
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
