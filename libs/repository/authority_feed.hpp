// What the CRLs of the operator's own authorities say, and what that does to certificates of theirs. The only code that
// writes into the table `authority_revoked`, and what `authorities` has of CRLs; both end with the authority. All
// functions run inside a store transaction; certificates whose standing changes are told as certificate_repository
// does.
//
// A CRL's entries are kept whole, whether we know their certificates or not, in feed_buckets blobs an authority: one
// that is taken in later is looked up there. Some 26 bytes an entry. Limit: pki::crl_bytes_max.
#pragma once

#include <optional>

#include "pki/crl_view.hpp"
#include "repository/authority_repository.hpp"

namespace fleetward::repository {

// Where its CRL is, and how often it is read. Another place begins anew with whatever number is found there; what the
// last one said stays until then. An empty source reads none.
Status set_feed(store::Transaction& tx, const std::string& id, const std::string& source, Millis every, Instant now);

constexpr std::size_t feed_buckets = 256;
std::size_t feed_bucket(ByteView serial);

struct FeedEntry {
  std::string serial;  // octets without leading zeros
  Instant at;
  pki::RevocationReason reason = pki::RevocationReason::unspecified;
};
bool is_hold(const FeedEntry& entry);  // it may be lifted again
// What is kept of the certificate with that serial.
Result<std::optional<FeedEntry>> feed_entry(store::Transaction& tx, const std::string& authority,
                                            const std::string& serial_hex);

struct FeedCrl {
  std::string number, digest;
  Instant this_update, next_update;
  std::int64_t entries = 0;
  std::string source;  // where it was read
};
// The CRL is to be put in force: false when it is already, whole. failed_precondition: it is older than what is in
// force, or another of the same number; fenced: CRLs are read elsewhere by now; not_found.
Result<bool> begin_feed(store::Transaction& tx, const std::string& authority, const FeedCrl& crl, Instant now);

struct FeedChange {
  std::vector<std::string> revoked, held, lifted;  // certificates
};
// Its entries of one bucket, in place of those that are kept: what is new is revoked or put on hold, a hold that is
// gone is lifted. fenced: another CRL was begun meanwhile, or the authority is gone.
Result<FeedChange> apply_feed(store::Transaction& tx, const std::string& authority, const std::string& digest,
                              std::size_t bucket, std::vector<FeedEntry> entries, Instant now);
Status finish_feed(store::Transaction& tx, const std::string& authority, const std::string& digest, Instant now);
// It was looked at and is as it was. fenced: it is not in force any more.
Status note_feed_read(store::Transaction& tx, const std::string& authority, const std::string& digest, Instant now);
Status note_feed_failed(store::Transaction& tx, const std::string& authority, const std::string& why, Instant now);

}  // namespace fleetward::repository
