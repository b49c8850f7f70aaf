#include "repository/authority_repository.hpp"

#include "fleet/topics.hpp"
#include "repository/authority_feed.hpp"
#include "repository/changed.hpp"

namespace fleetward::repository {
namespace {

constexpr std::string_view columns =
    "id, pem, subject, key_id, status, mode, not_before_ms, not_after_ms, created_ms, modified_ms, crl_source, "
    "crl_every_ms, crl_number, crl_digest, crl_applied, crl_this_update_ms, crl_next_update_ms, crl_entries, "
    "crl_read_ms, crl_error, crl_failed_ms";

Error no_such(const std::string& id) {
  return Error(ErrorCode::not_found, fmt::format("CA certificate {} cannot be found.", printable(id, 80)));
}

Result<std::vector<AuthorityRow>> rows_of(const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  std::vector<AuthorityRow> out;
  for (const store::Row& r : *rows) {
    const auto status = fleet::parse_authority_status(r.text(4));
    if (!status) return status.error();
    const auto time = [&r](std::size_t column) { return instant_from_ms(r.integer(column)); };
    out.push_back({r.text(0), r.text(1), r.text(2), r.text(3), *status, r.text(5), time(6), time(7), time(8), time(9),
                   r.text(10), Millis(r.integer(11)),
                   FeedState{r.text(12), r.text(13), r.integer(14) == 1, time(15), time(16), r.integer(17), time(18),
                             r.text(19), time(20)}});
  }
  return out;
}

// The record that gateways decide by, and that says whom they trust.
Status publish_authority(store::Transaction& tx, const std::string& id, const std::string& pem,
                         fleet::AuthorityStatus status, Instant now) {
  const std::string key = std::string(fleet::authority_key_prefix) + id;
  const auto version = next_version(tx, fleet::topic::certificates, key);
  if (!version) return version.error();
  const fleet::AuthorityRecord record{id, pem, status, *version};
  const fleet::CloudEvent event{fmt::format("{}.{}", key, *version),
                                "/fleetward/pki",
                                std::string(fleet::event_type::authority),
                                key,
                                now,
                                to_json(record)};
  tx.notify(authorities_channel);
  return publish(tx, {std::string(fleet::topic::certificates), *version, event, {}});
}

// Who issued it, of those that are registered.
Result<AuthorityRow> issuer_of(store::Transaction& tx, const std::string& pem, const std::string& authority_pem) {
  const auto all = list_authorities(tx);
  if (!all) return all.error();
  std::string wanted;
  if (!authority_pem.empty()) {
    const auto info = pki::read_certificate(authority_pem);
    if (!info) return info.error().with_context("CA certificate");
    wanted = info->fingerprint;
  }
  std::vector<const AuthorityRow*> found;
  bool is_known = wanted.empty();
  for (const AuthorityRow& a : *all) {
    if (!wanted.empty() && a.id != wanted) continue;
    is_known = true;
    if (pki::is_issued_by(pem, a.pem)) found.push_back(&a);
  }
  if (!is_known) return Error(ErrorCode::invalid_argument, "the CA certificate is not registered: register it first");
  if (found.empty())
    return Error(ErrorCode::invalid_argument,
                 wanted.empty() ? "no registered authority has issued the certificate: register the one that did (the "
                                  "intermediate, where there is one)"
                                : "the certificate is not issued by that CA certificate");
  // Of a renewed one with the same key, the one that is in force.
  if (found.size() > 1)
    std::erase_if(found, [](const AuthorityRow* a) { return a->status != fleet::AuthorityStatus::active; });
  if (found.size() != 1)
    return Error(ErrorCode::conflict, "more than one registered CA certificate can have issued it: say which");
  return *found.front();
}

}  // namespace

Status register_authority(store::Transaction& tx, const pki::AuthorityInfo& info, fleet::AuthorityStatus status,
                          const std::string& mode, Instant now) {
  const auto all = list_authorities(tx);
  if (!all) return all.error();
  if (std::any_of(all->begin(), all->end(), [&](const auto& a) { return a.id == info.certificate.fingerprint; }))
    return Error(ErrorCode::already_exists, "the CA certificate is registered already");
  if (all->size() >= authorities_max)
    return Error(ErrorCode::resource_exhausted,
                 fmt::format("there are {} CA certificates, as many as there may be: delete one", authorities_max));
  const Status inserted = done(tx.execute(
      "INSERT INTO authorities(id, pem, subject, key_id, status, mode, not_before_ms, not_after_ms, created_ms, "
      "modified_ms, crl_source, crl_every_ms, crl_number, crl_digest, crl_applied, crl_this_update_ms, "
      "crl_next_update_ms, crl_entries, crl_read_ms, crl_error, crl_failed_ms) "
      "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, '', 0, '', '', 0, 0, 0, 0, 0, '', 0)",
      {info.certificate.fingerprint, info.pem, info.subject, info.key_id, std::string(to_string(status)), mode,
       to_ms(info.certificate.not_before), to_ms(info.certificate.not_after), to_ms(now)}));
  if (!inserted) return inserted;
  return publish_authority(tx, info.certificate.fingerprint, info.pem, status, now);
}

Result<AuthorityRow> get_authority(store::Transaction& tx, const std::string& id) {
  auto rows = rows_of(tx.query(fmt::format("SELECT {} FROM authorities WHERE id=$1", columns), {id}));
  if (!rows) return rows.error();
  if (rows->empty()) return no_such(id);
  return std::move(rows->front());
}

Result<std::vector<AuthorityRow>> list_authorities(store::Transaction& tx) {
  return rows_of(tx.query(fmt::format("SELECT {} FROM authorities ORDER BY created_ms, id", columns)));
}

Status set_authority_status(store::Transaction& tx, const std::string& id, fleet::AuthorityStatus status, Instant now) {
  const auto row = get_authority(tx, id);
  if (!row) return row.error();
  if (row->status == status) return {};
  const Status changed = done(tx.execute("UPDATE authorities SET status=$2, modified_ms=$3 WHERE id=$1",
                                         {id, std::string(to_string(status)), to_ms(now)}));
  if (!changed) return changed;
  return publish_authority(tx, id, row->pem, status, now);
}

Status delete_authority(store::Transaction& tx, const std::string& id, Instant now) {
  const auto row = get_authority(tx, id);
  if (!row) return row.error();
  if (row->status == fleet::AuthorityStatus::active)
    return Error(ErrorCode::failed_precondition, "the CA certificate is ACTIVE: deactivate it first");
  // What its list held stays INACTIVE, and is a person's to set from now on.
  for (const std::string_view sql :
       {"DELETE FROM authorities WHERE id=$1", "DELETE FROM authority_revoked WHERE authority=$1",
        "UPDATE certificates SET hold_before=NULL WHERE issuer=$1 AND registered = 1 AND "
        "hold_before IS NOT NULL"}) {
    if (const Status gone = done(tx.execute(sql, {id})); !gone) return gone;
  }
  return publish_authority(tx, id, "", fleet::AuthorityStatus::deleted, now);
}

Result<RegisteredCertificate> register_certificate(store::Transaction& tx, const std::string& pem,
                                                   const std::string& authority_pem, fleet::CertificateStatus status,
                                                   Instant now) {
  const auto info = pki::read_device_certificate(pem, now);
  if (!info) return info.error().with_context("the certificate cannot be taken in");
  const auto known = find_certificate(tx, info->fingerprint);
  if (!known) return known.error();
  if (*known) return Error(ErrorCode::already_exists, "the certificate is registered already");
  const auto authority = issuer_of(tx, pem, authority_pem);
  if (!authority) return authority.error();
  if (authority->status != fleet::AuthorityStatus::active)
    return Error(ErrorCode::failed_precondition, "its CA certificate is not ACTIVE");
  const auto der = pki::der_of_pem(pem);
  if (!der) return der.error();
  CertificateRow row{.id = info->fingerprint,
                     .pem = pki::pem_of_der(*der),
                     .serial = info->serial,
                     .issuer = authority->id,
                     .status = status,
                     .not_before = info->not_before,
                     .not_after = info->not_after,
                     .registered = true};
  const auto entry = feed_entry(tx, authority->id, info->serial);
  if (!entry) return entry.error();
  if (*entry && !is_hold(**entry))
    return Error(ErrorCode::failed_precondition,
                 fmt::format("its authority has revoked it, at {}", to_rfc3339((**entry).at)));
  if (*entry) {
    row.hold_before = status;
    row.status = fleet::CertificateStatus::inactive;
  }
  if (const Status inserted = insert_registered(tx, row, now); !inserted) return inserted.error();
  return RegisteredCertificate{row.id, row.issuer};
}

Result<std::vector<CertificateRow>> certificates_by_authority(store::Transaction& tx, const std::string& authority,
                                                              const std::string& after, bool is_ascending,
                                                              std::int64_t limit) {
  if (is_ascending || after.empty()) {
    const std::string_view order = is_ascending ? "ASC" : "DESC";
    return certificate_rows(tx.query(
        fmt::format(
            "SELECT {} FROM certificates WHERE issuer=$1 AND registered = 1 AND id > $2 ORDER BY id {} LIMIT $3",
            certificate_columns(), order),
        {authority, after, limit}));
  }
  return certificate_rows(tx.query(
      fmt::format(
          "SELECT {} FROM certificates WHERE issuer=$1 AND registered = 1 AND id < $2 ORDER BY id DESC LIMIT $3",
          certificate_columns()),
      {authority, after, limit}));
}

Result<std::int64_t> stopped_certificates(store::Transaction& tx, const std::string& authority) {
  const auto rows = tx.query(
      "SELECT count(*) FROM certificates WHERE issuer=$1 AND registered = 1 AND (revoked_ms IS NOT NULL OR hold_before "
      "IS NOT NULL)",
      {authority});
  if (!rows) return rows.error();
  return rows->at(0).integer(0);
}

}  // namespace fleetward::repository
