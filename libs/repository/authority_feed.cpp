#include "repository/authority_feed.hpp"

#include "repository/changed.hpp"

namespace fleetward::repository {
namespace {

// ---- the blob of a bucket: for each entry the serial's length and octets, seconds since the epoch (4 octets, big
// endian) and the reason, in the order of serials.

constexpr std::size_t entry_tail = 5;

bool by_serial(const FeedEntry& a, const FeedEntry& b) { return a.serial < b.serial; }

Bytes blob_of(const std::vector<FeedEntry>& entries) {
  Bytes out;
  for (const FeedEntry& e : entries) {
    out.push_back(static_cast<std::uint8_t>(e.serial.size()));
    out.insert(out.end(), e.serial.begin(), e.serial.end());
    const auto seconds = static_cast<std::uint32_t>(std::clamp<std::int64_t>(to_ms(e.at) / 1000, 0, 0xFFFF'FFFF));
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(seconds >> shift));
    out.push_back(static_cast<std::uint8_t>(e.reason));
  }
  return out;
}

Result<std::vector<FeedEntry>> entries_of(const Bytes& blob) {
  std::vector<FeedEntry> out;
  for (std::size_t at = 0; at < blob.size();) {
    const std::size_t size = blob[at++];
    if (blob.size() - at < size + entry_tail) return Error(ErrorCode::corrupted, "what is kept of a CRL is cut short");
    FeedEntry e;
    e.serial.assign(blob.begin() + static_cast<std::ptrdiff_t>(at),
                    blob.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
    std::int64_t seconds = 0;
    for (int i = 0; i < 4; ++i) seconds = seconds << 8 | blob[at++];
    e.at = instant_from_ms(seconds * 1000);
    e.reason = static_cast<pki::RevocationReason>(blob[at++]);
    out.push_back(std::move(e));
  }
  return out;
}

Result<Bytes> kept_blob(store::Transaction& tx, const std::string& authority, std::size_t bucket) {
  const auto rows = tx.query("SELECT entries FROM authority_revoked WHERE authority=$1 AND bucket=$2",
                             {authority, static_cast<std::int64_t>(bucket)});
  if (!rows) return rows.error();
  return rows->empty() ? Bytes() : rows->at(0).bytes(0);
}

// In order, each serial once: of two the one that is for good. What was lifted says so only in lists that should not.
void tidy(std::vector<FeedEntry>& entries) {
  std::erase_if(entries, [](const FeedEntry& e) { return e.reason == pki::RevocationReason::remove_from_crl; });
  std::stable_sort(entries.begin(), entries.end(), [](const FeedEntry& a, const FeedEntry& b) {
    return a.serial != b.serial ? a.serial < b.serial : is_hold(a) < is_hold(b);
  });
  const auto same = [](const FeedEntry& a, const FeedEntry& b) { return a.serial == b.serial; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
}

// Those of `these` that are not in `those`, or are there as the other kind (a hold, or for good).
std::vector<FeedEntry> missing(const std::vector<FeedEntry>& these, const std::vector<FeedEntry>& those) {
  std::vector<FeedEntry> out;
  for (auto at = those.begin(); const FeedEntry& e : these) {
    while (at != those.end() && by_serial(*at, e)) ++at;
    if (at == those.end() || at->serial != e.serial || is_hold(*at) != is_hold(e)) out.push_back(e);
  }
  return out;
}

std::string hex_of(const std::string& serial) { return to_hex(as_bytes(serial)); }

// Calls `visit` for each certificate of the authority that one of the entries names.
Status each_certificate(store::Transaction& tx, const std::string& authority, const std::vector<FeedEntry>& entries,
                        const std::function<Status(const CertificateRow&, const FeedEntry&)>& visit) {
  constexpr std::size_t serials_a_query = 100;
  for (std::size_t from = 0; from < entries.size(); from += serials_a_query) {
    const std::size_t count = std::min(serials_a_query, entries.size() - from);
    store::Params params{authority};
    std::string places;
    std::map<std::string, const FeedEntry*> by_hex;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string hex = hex_of(entries[from + i].serial);
      by_hex[hex] = &entries[from + i];
      params.emplace_back(hex);
      places += fmt::format("{}${}", i == 0 ? "" : ", ", i + 2);
    }
    const auto rows = certificate_rows(
        tx.query(fmt::format("SELECT {} FROM certificates WHERE issuer=$1 AND registered = 1 AND serial IN ({})",
                             certificate_columns(), places),
                 params));
    if (!rows) return rows.error();
    for (const CertificateRow& row : *rows) {
      if (const Status visited = visit(row, *by_hex.at(row.serial)); !visited) return visited;
    }
  }
  return {};
}

Status in_force(store::Transaction& tx, const std::string& authority, const std::string& digest) {
  const auto rows = tx.query("SELECT 1 FROM authorities WHERE id=$1 AND crl_digest=$2", {authority, digest});
  if (!rows) return rows.error();
  return rows->empty() ? Status(Error(ErrorCode::fenced, "another CRL has taken its place")) : Status();
}

}  // namespace

bool is_hold(const FeedEntry& e) { return e.reason == pki::RevocationReason::certificate_hold; }

Status set_feed(store::Transaction& tx, const std::string& id, const std::string& source, Millis every, Instant now) {
  const auto row = get_authority(tx, id);
  if (!row) return row.error();
  tx.notify(authorities_channel);
  const Status set = done(
      tx.execute("UPDATE authorities SET crl_source=$2, crl_every_ms=$3, modified_ms=$4, crl_error='', crl_failed_ms=0 "
                 "WHERE id=$1",
                 {id, source, std::int64_t{every.count()}, to_ms(now)}));
  if (!set || source == row->crl_source) return set;
  return done(
      tx.execute("UPDATE authorities SET crl_number='', crl_digest='', crl_applied=0, crl_this_update_ms=0, "
                 "crl_next_update_ms=0, crl_read_ms=0 WHERE id=$1",
                 {id}));
}

Result<std::optional<FeedEntry>> feed_entry(store::Transaction& tx, const std::string& authority,
                                            const std::string& serial_hex) {
  const auto serial = from_hex(serial_hex);
  if (!serial) return serial.error();
  const auto blob = kept_blob(tx, authority, feed_bucket(*serial));
  if (!blob) return blob.error();
  const auto entries = entries_of(*blob);
  if (!entries) return entries.error();
  const FeedEntry wanted{std::string(as_text(*serial)), {}, {}};
  const auto found = std::lower_bound(entries->begin(), entries->end(), wanted, by_serial);
  if (found == entries->end() || found->serial != wanted.serial) return std::optional<FeedEntry>();
  return std::optional(*found);
}

// FNV-1a: it only spreads them, and who issues serials to fill one bucket slows his own list alone.
std::size_t feed_bucket(ByteView serial) {
  std::uint32_t hash = 2'166'136'261U;
  for (const std::uint8_t octet : serial) hash = (hash ^ octet) * 16'777'619U;
  return (hash ^ hash >> 16) % feed_buckets;
}

Result<bool> begin_feed(store::Transaction& tx, const std::string& authority, const FeedCrl& crl, Instant now) {
  const auto row = get_authority(tx, authority);
  if (!row) return row.error();
  if (row->crl_source != crl.source)
    return Error(ErrorCode::fenced, "the authority's CRL is read from another place by now");
  const FeedState& last = row->feed;
  if (last.digest == crl.digest) {
    const Status noted = note_feed_read(tx, authority, crl.digest, now);
    if (!noted) return noted.error();
    return !last.applied;
  }
  if (!last.digest.empty()) {
    const bool have_numbers = !last.number.empty() && !crl.number.empty();
    const bool is_older =
        have_numbers ? pki::is_lower_number(crl.number, last.number) : crl.this_update < last.this_update;
    if (is_older)
      return Error(
          ErrorCode::failed_precondition,
          fmt::format("the CRL ({}, of {}) is older than the one in force ({}, of {}), which stays",
                      crl.number.empty() ? "no number" : "number " + crl.number, to_rfc3339(crl.this_update),
                      last.number.empty() ? "no number" : "number " + last.number, to_rfc3339(last.this_update)));
    if (have_numbers && crl.number == last.number)
      return Error(
          ErrorCode::failed_precondition,
          fmt::format("the CRL differs from the one in force but has the same number, {}: the one in force stays",
                      crl.number));
  }
  const Status begun = done(
      tx.execute("UPDATE authorities SET crl_number=$2, crl_digest=$3, crl_applied=0, crl_this_update_ms=$4, "
                 "crl_next_update_ms=$5, "
                 "crl_entries=$6 WHERE id=$1",
                 {authority, crl.number, crl.digest, to_ms(crl.this_update), to_ms(crl.next_update), crl.entries}));
  if (!begun) return begun.error();
  return true;
}

Result<FeedChange> apply_feed(store::Transaction& tx, const std::string& authority, const std::string& digest,
                              std::size_t bucket, std::vector<FeedEntry> entries, Instant now) {
  if (const Status current = in_force(tx, authority, digest); !current) return current.error();
  const auto kept_before = kept_blob(tx, authority, bucket);
  if (!kept_before) return kept_before.error();
  tidy(entries);
  FeedChange change;
  const Bytes blob = blob_of(entries);
  if (blob == *kept_before) return change;  // as most of a large list is from one to the next
  const auto before = entries_of(*kept_before);
  if (!before) return before.error();
  const std::vector<FeedEntry> added = missing(entries, *before);
  std::vector<FeedEntry> gone = missing(*before, entries);
  const auto take = [&](const CertificateRow& row, const FeedEntry& entry) -> Status {
    if (row.status == fleet::CertificateStatus::revoked) return {};
    (is_hold(entry) ? change.held : change.revoked).push_back(row.id);
    return is_hold(entry) ? hold_certificate(tx, row, now) : revoke_certificate(tx, row.id, entry.reason, now);
  };
  if (const Status taken = each_certificate(tx, authority, added, take); !taken) return taken.error();
  std::erase_if(gone, [](const FeedEntry& e) { return !is_hold(e); });  // what was for good stays so
  const auto lift = [&](const CertificateRow& row, const FeedEntry&) -> Status {
    if (!row.hold_before) return {};
    change.lifted.push_back(row.id);
    return lift_certificate(tx, row, now);
  };
  if (const Status lifted = each_certificate(tx, authority, gone, lift); !lifted) return lifted.error();
  const Status kept = done(
      tx.execute("INSERT INTO authority_revoked(authority, bucket, entries) VALUES($1, $2, $3) ON CONFLICT(authority, "
                 "bucket) DO UPDATE SET entries=excluded.entries",
                 {authority, static_cast<std::int64_t>(bucket), blob}));
  if (!kept) return kept.error();
  return change;
}

Status finish_feed(store::Transaction& tx, const std::string& authority, const std::string& digest, Instant now) {
  if (const Status current = in_force(tx, authority, digest); !current) return current;
  const Status applied = done(tx.execute("UPDATE authorities SET crl_applied=1 WHERE id=$1", {authority}));
  if (!applied) return applied;
  return note_feed_read(tx, authority, digest, now);
}

Status note_feed_read(store::Transaction& tx, const std::string& authority, const std::string& digest, Instant now) {
  if (const Status current = in_force(tx, authority, digest); !current) return current;
  return done(tx.execute("UPDATE authorities SET crl_read_ms=$2, crl_error='', crl_failed_ms=0 WHERE id=$1",
                         {authority, to_ms(now)}));
}

Status note_feed_failed(store::Transaction& tx, const std::string& authority, const std::string& why, Instant now) {
  constexpr std::size_t words_max = 500;
  return done(
      tx.execute("UPDATE authorities SET crl_error=$2, crl_failed_ms=CASE WHEN crl_error='' THEN $3 ELSE "
                 "crl_failed_ms END WHERE id=$1",
                 {authority, printable(why, words_max), to_ms(now)}));
}

}  // namespace fleetward::repository
