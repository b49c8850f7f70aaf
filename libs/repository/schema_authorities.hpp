// Tables of authorities of the operator's own, and of what their CRLs say. Owner: authority_repository. The
// certificates' table, which certificate_repository owns, gets what one that was taken in needs: serial numbers are
// unique by issuer.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_authorities = R"(
CREATE TABLE certificates_by_issuer(
  id TEXT PRIMARY KEY, pem TEXT NOT NULL, serial TEXT NOT NULL, issuer TEXT NOT NULL, status TEXT NOT NULL,
  thing TEXT, thing_id TEXT, not_before_ms BIGINT NOT NULL, not_after_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL,
  modified_ms BIGINT NOT NULL, revoked_ms BIGINT, revoked_reason BIGINT, registered BIGINT NOT NULL DEFAULT 0,
  hold_before TEXT, UNIQUE(issuer, serial));
INSERT INTO certificates_by_issuer(id, pem, serial, issuer, status, thing, thing_id, not_before_ms, not_after_ms,
  created_ms, modified_ms, revoked_ms, revoked_reason)
  SELECT id, pem, serial, issuer, status, thing, thing_id, not_before_ms, not_after_ms, created_ms, modified_ms,
  revoked_ms, revoked_reason FROM certificates;
DROP TABLE certificates;
ALTER TABLE certificates_by_issuer RENAME TO certificates;
CREATE INDEX certificates_thing ON certificates(thing);
CREATE UNIQUE INDEX certificates_own ON certificates(serial) WHERE registered = 0;
CREATE INDEX certificates_revoked ON certificates(serial) WHERE revoked_ms IS NOT NULL AND registered = 0;
CREATE INDEX certificates_stopped ON certificates(issuer)
  WHERE registered = 1 AND (revoked_ms IS NOT NULL OR hold_before IS NOT NULL);
CREATE INDEX certificates_of_issuer ON certificates(issuer, id) WHERE registered = 1;
CREATE TABLE authorities(
  id TEXT PRIMARY KEY, pem TEXT NOT NULL, subject TEXT NOT NULL, key_id TEXT NOT NULL, status TEXT NOT NULL,
  mode TEXT NOT NULL, not_before_ms BIGINT NOT NULL, not_after_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL,
  modified_ms BIGINT NOT NULL, crl_source TEXT NOT NULL, crl_every_ms BIGINT NOT NULL, crl_number TEXT NOT NULL,
  crl_digest TEXT NOT NULL, crl_applied BIGINT NOT NULL, crl_this_update_ms BIGINT NOT NULL,
  crl_next_update_ms BIGINT NOT NULL, crl_entries BIGINT NOT NULL, crl_read_ms BIGINT NOT NULL, crl_error TEXT NOT NULL,
  crl_failed_ms BIGINT NOT NULL);
CREATE TABLE authority_revoked(
  authority TEXT NOT NULL, bucket BIGINT NOT NULL, entries BLOB NOT NULL, PRIMARY KEY(authority, bucket));
)";

}  // namespace fleetward::repository
