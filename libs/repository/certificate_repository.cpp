#include "repository/certificate_repository.hpp"

#include "crypto/digest.hpp"
#include "fleet/topics.hpp"
#include "repository/changed.hpp"

namespace fleetward::repository {
namespace {

constexpr std::string_view columns =
    "id, pem, serial, issuer, status, thing, thing_id, not_before_ms, not_after_ms, created_ms, modified_ms, "
    "revoked_ms, registered, hold_before";

store::Value text_or_null(const std::string& text) { return text.empty() ? store::Value() : store::Value(text); }

Result<CertificateRow> row_of(const store::Row& r) {
  const auto status = fleet::parse_certificate_status(r.text(4));
  if (!status) return status.error();
  CertificateRow c{r.text(0),
                   r.text(1),
                   r.text(2),
                   r.text(3),
                   *status,
                   r.text_or(5, ""),
                   r.text_or(6, ""),
                   instant_from_ms(r.integer(7)),
                   instant_from_ms(r.integer(8)),
                   instant_from_ms(r.integer(9)),
                   instant_from_ms(r.integer(10)),
                   std::nullopt,
                   r.integer(12) == 1,
                   std::nullopt};
  if (!r.is_null(11)) c.revoked = instant_from_ms(r.integer(11));
  if (r.is_null(13)) return c;
  const auto before = fleet::parse_certificate_status(r.text(13));
  if (!before) return before.error();
  c.hold_before = *before;
  return c;
}

Result<std::vector<CertificateRow>> rows_of(const Result<store::Rows>& rows) {
  if (!rows) return rows.error();
  std::vector<CertificateRow> out;
  for (const store::Row& r : *rows) {
    auto row = row_of(r);
    if (!row) return row.error();
    out.push_back(std::move(*row));
  }
  return out;
}

// The record that gateways decide by.
Status publish_certificate(store::Transaction& tx, const std::string& id, Instant now) {
  const auto row = find_certificate(tx, id);
  if (!row) return row.error();
  if (!*row) return Error(ErrorCode::not_found, "there is no certificate " + id);
  const CertificateRow& c = **row;
  const auto version = next_version(tx, fleet::topic::certificates, id);
  if (!version) return version.error();
  const fleet::CertificateRecord record{c.id,     c.thing,     c.thing_id, c.issuer,    c.serial,
                                        c.status, c.not_after, *version,   c.registered};
  const fleet::CloudEvent event{fmt::format("{}.{}", id, *version),
                                "/fleetward/pki",
                                std::string(fleet::event_type::certificate),
                                id,
                                now,
                                to_json(record)};
  return publish(tx, {std::string(fleet::topic::certificates), *version, event, {}});
}

Result<CertificateRow> existing(store::Transaction& tx, const std::string& id) {
  const auto row = find_certificate(tx, id);
  if (!row) return row.error();
  if (!*row) return Error(ErrorCode::not_found, "there is no certificate " + id);
  return **row;
}

std::string text_of(fleet::CertificateStatus status) { return std::string(to_string(status)); }

}  // namespace

std::string_view certificate_columns() { return columns; }
Result<std::vector<CertificateRow>> certificate_rows(const Result<store::Rows>& rows) { return rows_of(rows); }

Status ask_for_certificate(store::Transaction& tx, const SigningRequest& r, Instant now) {
  const auto waiting = tx.query("SELECT count(*) FROM signing_requests WHERE state='open'");
  if (!waiting) return waiting.error();
  if (waiting->at(0).integer(0) >= open_requests_max)
    return Error(ErrorCode::throttled, "too many certificates are waiting to be signed; is the pki role running?");
  tx.notify(pki_channel);
  return done(
      tx.execute("INSERT INTO signing_requests(id, kind, thing, thing_id, public_key, active, state, created_ms) "
                 "VALUES($1, $2, $3, $4, $5, $6, 'open', $7)",
                 {r.id, std::string(r.probe ? "probe" : "device"), r.thing, r.thing_id, r.public_key_pem,
                  std::int64_t{r.active ? 1 : 0}, to_ms(now)}));
}

Result<SigningOutcome> signing_outcome(store::Transaction& tx, const std::string& id) {
  const auto rows = tx.query("SELECT state, certificate, error FROM signing_requests WHERE id=$1", {id});
  if (!rows) return rows.error();
  if (rows->empty()) return Error(ErrorCode::not_found, "there is no such signing request");
  return SigningOutcome{rows->at(0).text(0) == "open", rows->at(0).text_or(1, ""), rows->at(0).text_or(2, "")};
}

Result<std::vector<SigningRequest>> open_signing_requests(store::Transaction& tx, std::int64_t limit) {
  const auto rows = tx.query(
      "SELECT id, kind, thing, thing_id, public_key, active FROM signing_requests WHERE state='open' ORDER BY "
      "created_ms LIMIT $1",
      {limit});
  if (!rows) return rows.error();
  std::vector<SigningRequest> out;
  for (const store::Row& r : *rows)
    out.push_back({r.text(0), r.text(1) == "probe", r.text(2), r.text(3), r.text(4), r.integer(5) == 1});
  return out;
}

Status finish_signing(store::Transaction& tx, const SigningRequest& request, const std::string& pem,
                      const std::string& issuer, Instant now) {
  const auto closed = tx.execute(
      "UPDATE signing_requests SET state='done', certificate=$2 WHERE id=$1 AND state='open'", {request.id, pem});
  if (!closed) return closed.error();
  if (*closed == 0) return {};  // another authority was first: its certificate is the one
  tx.notify(signed_channel);
  if (request.probe) return {};
  const auto info = pki::read_certificate(pem);
  if (!info) return info.error();
  const std::string status(
      to_string(request.active ? fleet::CertificateStatus::active : fleet::CertificateStatus::inactive));
  const Status inserted =
      done(tx.execute("INSERT INTO certificates(id, pem, serial, issuer, status, thing, thing_id, not_before_ms, "
                      "not_after_ms, created_ms, modified_ms) "
                      "VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
                      {info->fingerprint, pem, info->serial, issuer, status, text_or_null(request.thing),
                       text_or_null(request.thing_id), to_ms(info->not_before), to_ms(info->not_after), to_ms(now)}));
  if (!inserted) return inserted;
  return publish_certificate(tx, info->fingerprint, now);
}

Status fail_signing(store::Transaction& tx, const SigningRequest& request, const std::string& why) {
  tx.notify(signed_channel);
  return done(tx.execute("UPDATE signing_requests SET state='failed', error=$2 WHERE id=$1 AND state='open'",
                         {request.id, why}));
}

Status forget_old_requests(store::Transaction& tx, Instant before) {
  return done(tx.execute("DELETE FROM signing_requests WHERE state <> 'open' AND created_ms < $1", {to_ms(before)}));
}

Result<std::optional<CertificateRow>> find_certificate(store::Transaction& tx, const std::string& id) {
  const auto rows = rows_of(tx.query(fmt::format("SELECT {} FROM certificates WHERE id=$1", columns), {id}));
  if (!rows) return rows.error();
  return rows->empty() ? std::optional<CertificateRow>() : rows->at(0);
}

Result<std::vector<CertificateRow>> certificates_of(store::Transaction& tx, const std::string& thing) {
  return rows_of(tx.query(fmt::format("SELECT {} FROM certificates WHERE thing=$1 ORDER BY id", columns), {thing}));
}

Result<std::vector<CertificateRow>> list_certificates(store::Transaction& tx, const std::string& after,
                                                      std::int64_t limit) {
  return rows_of(
      tx.query(fmt::format("SELECT {} FROM certificates WHERE id > $1 ORDER BY id LIMIT $2", columns), {after, limit}));
}

Status attach_certificate(store::Transaction& tx, const std::string& id, const std::string& thing,
                          const std::string& thing_id, Instant now) {
  const auto row = existing(tx, id);
  if (!row) return row.error();
  if (!thing.empty() && !row->thing.empty() && row->thing != thing) {
    return Error(ErrorCode::failed_precondition,
                 "the certificate is attached to another thing: one thing a certificate");
  }
  if (row->thing == thing) return {};
  if (!thing.empty() && row->status == fleet::CertificateStatus::revoked)
    return Error(ErrorCode::failed_precondition, "the certificate is revoked: issue a new one");
  const Status changed = done(tx.execute("UPDATE certificates SET thing=$2, thing_id=$3, modified_ms=$4 WHERE id=$1",
                                         {id, text_or_null(thing), text_or_null(thing_id), to_ms(now)}));
  if (!changed) return changed;
  return publish_certificate(tx, id, now);
}

Status set_certificate_status(store::Transaction& tx, const std::string& id, fleet::CertificateStatus status,
                              Instant now) {
  if (status == fleet::CertificateStatus::revoked)
    return Error(ErrorCode::invalid_argument, "a certificate is revoked with a reason and a time, not by its status");
  const auto row = existing(tx, id);
  if (!row) return row.error();
  if (row->status == fleet::CertificateStatus::revoked && row->status != status)
    return Error(ErrorCode::failed_precondition, "a revoked certificate stays revoked: issue a new one");
  if (row->hold_before && status == fleet::CertificateStatus::active)
    return Error(ErrorCode::failed_precondition, "its authority has put the certificate on hold: lift it there");
  if (row->hold_before)  // INACTIVE as it is, and also once the hold ends
    return done(tx.execute("UPDATE certificates SET hold_before=$2 WHERE id=$1", {id, text_of(status)}));
  if (row->status == status) return {};
  const Status changed = done(tx.execute("UPDATE certificates SET status=$2, modified_ms=$3 WHERE id=$1",
                                         {id, std::string(to_string(status)), to_ms(now)}));
  if (!changed) return changed;
  return publish_certificate(tx, id, now);
}

Status revoke_certificate(store::Transaction& tx, const std::string& id, pki::RevocationReason reason, Instant now) {
  const auto row = existing(tx, id);
  if (!row) return row.error();
  if (row->status == fleet::CertificateStatus::revoked) return {};
  const Status changed = done(tx.execute(
      "UPDATE certificates SET status='REVOKED', modified_ms=$2, revoked_ms=$2, revoked_reason=$3, hold_before=NULL "
      "WHERE id=$1",
      {id, to_ms(now), static_cast<std::int64_t>(reason)}));
  if (!changed) return changed;
  tx.notify(pki_channel);
  return publish_certificate(tx, id, now);
}

Status say_certificate_again(store::Transaction& tx, const std::string& id, Instant now) {
  return publish_certificate(tx, id, now);
}

Status insert_registered(store::Transaction& tx, const CertificateRow& c, Instant now) {
  const auto inserted = tx.execute(
      "INSERT INTO certificates(id, pem, serial, issuer, status, not_before_ms, not_after_ms, created_ms, "
      "modified_ms, registered, hold_before) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $8, 1, $9)",
      {c.id, c.pem, c.serial, c.issuer, text_of(c.status), to_ms(c.not_before), to_ms(c.not_after), to_ms(now),
       c.hold_before ? store::Value(text_of(*c.hold_before)) : store::Value()});
  if (!inserted && inserted.error().code == ErrorCode::already_exists)
    return Error(ErrorCode::already_exists, "another certificate of that authority has this serial number");
  if (!inserted) return inserted.error();
  return publish_certificate(tx, c.id, now);
}

Status hold_certificate(store::Transaction& tx, const CertificateRow& row, Instant now) {
  if (row.status == fleet::CertificateStatus::revoked || row.hold_before) return {};
  const Status changed =
      done(tx.execute("UPDATE certificates SET status='INACTIVE', hold_before=$2, modified_ms=$3 WHERE id=$1",
                      {row.id, text_of(row.status), to_ms(now)}));
  if (!changed) return changed;
  return publish_certificate(tx, row.id, now);
}

Status lift_certificate(store::Transaction& tx, const CertificateRow& row, Instant now) {
  if (!row.hold_before) return {};
  const Status changed =
      done(tx.execute("UPDATE certificates SET status=$2, hold_before=NULL, modified_ms=$3 WHERE id=$1",
                      {row.id, text_of(*row.hold_before), to_ms(now)}));
  if (!changed) return changed;
  return publish_certificate(tx, row.id, now);
}

// The authority compares how many revocations the last one knew of: of this many there never are.
Status ask_for_new_crl(store::Transaction& tx) {
  tx.notify(pki_channel);
  return done(tx.execute("UPDATE crl SET revocations=-1"));
}

Result<std::vector<pki::RevokedEntry>> revoked_entries(store::Transaction& tx, Instant now, Millis crl_lifetime,
                                                       const std::string& after) {
  const auto rows = tx.query(
      "SELECT serial, revoked_ms, revoked_reason FROM certificates WHERE revoked_ms IS NOT NULL AND registered = 0 AND "
      "not_after_ms > $1 AND serial > $2 ORDER BY serial LIMIT $3",
      {to_ms(now - crl_lifetime), after, static_cast<std::int64_t>(revoked_page)});
  if (!rows) return rows.error();
  std::vector<pki::RevokedEntry> out;
  for (const store::Row& r : *rows)
    out.push_back({r.text(0), instant_from_ms(r.integer(1)), static_cast<pki::RevocationReason>(r.integer_or(2, 0))});
  return out;
}

Result<pki::CertificateState> state_of_serial(store::Transaction& tx, const std::string& serial) {
  const auto rows =
      tx.query("SELECT revoked_ms, revoked_reason FROM certificates WHERE serial=$1 AND registered = 0", {serial});
  if (!rows) return rows.error();
  pki::CertificateState state;
  if (rows->empty()) return state;
  state.kind = pki::CertificateState::Kind::good;
  if (rows->at(0).is_null(0)) return state;
  state.kind = pki::CertificateState::Kind::revoked;
  state.revoked_at = instant_from_ms(rows->at(0).integer(0));
  state.reason = static_cast<pki::RevocationReason>(rows->at(0).integer_or(1, 0));
  return state;
}

Result<std::optional<CrlRow>> load_crl(store::Transaction& tx, std::int64_t known_number) {
  const auto rows = tx.query(
      "SELECT number, CASE WHEN number=$1 THEN NULL ELSE der END, this_update_ms, next_update_ms, revocations FROM crl",
      {known_number});
  if (!rows) return rows.error();
  if (rows->empty()) return std::optional<CrlRow>();
  const store::Row& r = rows->at(0);
  return std::optional(CrlRow{r.integer(0), r.is_null(1) ? Bytes() : r.bytes(1), instant_from_ms(r.integer(2)),
                              instant_from_ms(r.integer(3)), r.integer(4)});
}

Status save_crl(store::Transaction& tx, const CrlRow& crl) {
  return done(
      tx.execute("INSERT INTO crl(one, number, der, this_update_ms, next_update_ms, revocations) VALUES(1, $1, $2, $3, "
                 "$4, $5) ON CONFLICT(one) DO UPDATE SET "
                 "number=excluded.number, der=excluded.der, this_update_ms=excluded.this_update_ms, "
                 "next_update_ms=excluded.next_update_ms, revocations=excluded.revocations",
                 {crl.number, crl.der, to_ms(crl.this_update), to_ms(crl.next_update), crl.revocations}));
}

Result<std::int64_t> revocation_count(store::Transaction& tx) {
  const auto rows = tx.query("SELECT count(*) FROM certificates WHERE revoked_ms IS NOT NULL AND registered = 0");
  if (!rows) return rows.error();
  return rows->at(0).integer(0);
}

}  // namespace fleetward::repository
