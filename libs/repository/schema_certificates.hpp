// Tables of certificates, signing requests and the CRL. Owner: certificate_repository.
#pragma once

#include <string_view>

namespace fleetward::repository {

inline constexpr std::string_view schema_certificates = R"(
CREATE TABLE certificates(
  id TEXT PRIMARY KEY, pem TEXT NOT NULL, serial TEXT NOT NULL UNIQUE, issuer TEXT NOT NULL, status TEXT NOT NULL,
  thing TEXT, thing_id TEXT, not_before_ms BIGINT NOT NULL, not_after_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL,
  modified_ms BIGINT NOT NULL, revoked_ms BIGINT, revoked_reason BIGINT);
CREATE INDEX certificates_thing ON certificates(thing);
CREATE INDEX certificates_revoked ON certificates(serial) WHERE revoked_ms IS NOT NULL;
CREATE TABLE signing_requests(
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, thing TEXT NOT NULL, thing_id TEXT NOT NULL, public_key TEXT NOT NULL,
  active BIGINT NOT NULL, state TEXT NOT NULL, certificate TEXT, error TEXT, created_ms BIGINT NOT NULL);
CREATE INDEX signing_requests_open ON signing_requests(created_ms) WHERE state = 'open';
CREATE TABLE crl(one INTEGER PRIMARY KEY CHECK(one = 1), number BIGINT NOT NULL, der BLOB NOT NULL, this_update_ms BIGINT NOT NULL,
  next_update_ms BIGINT NOT NULL, revocations BIGINT NOT NULL);
)";

}  // namespace fleetward::repository
