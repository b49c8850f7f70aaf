// The holds on a thing: who may not connect, or only to be mended. Topic access, a table keyed by thing.
//
// A record holds all of the thing's holds; the strictest is in force. A release is a record without that hold, never a
// deletion. Only a responder's record ends a hold: `lease_end` is for people, no gateway acts on it.
#pragma once

#include <string>
#include <vector>

#include "json/json.hpp"

namespace fleetward::fleet {

// Rising strictness.
enum class HoldLevel { restrict, isolate, revoke };
std::string_view to_string(HoldLevel level);
Result<HoldLevel> parse_hold_level(std::string_view text);

struct Hold {
  std::string action_id;  // one hold an action
  HoldLevel level = HoldLevel::isolate;
  std::string reason;
  std::string actor;
  Instant since;
  Instant lease_end;
  friend bool operator==(const Hold&, const Hold&) = default;
};

struct AccessRecord {
  std::string thing;
  std::string thing_id;
  std::int64_t version = 0;  // rises per thing
  std::vector<Hold> holds;
  friend bool operator==(const AccessRecord&, const AccessRecord&) = default;
};
json::Value to_json(const AccessRecord& record);
Result<AccessRecord> access_record_from_json(const json::Value& value);

// A certificate as gateways need it. Topic certificates, a table keyed by fingerprint.
enum class CertificateStatus { active, inactive, revoked, pending_activation };
std::string_view to_string(CertificateStatus status);  // ACTIVE, INACTIVE, REVOKED, PENDING_ACTIVATION
Result<CertificateStatus> parse_certificate_status(std::string_view text);

struct CertificateRecord {
  std::string fingerprint;  // SHA-256 of the DER, 64 hex digits: also the certificate id of the API
  std::string thing;        // empty: attached to none, refused
  std::string thing_id;
  std::string issuer;  // fingerprint of the issuing authority's certificate
  std::string serial;  // hex
  CertificateStatus status = CertificateStatus::active;
  Instant not_after;
  std::int64_t version = 0;  // rises per certificate
  // Issued by an authority of the operator's own, and taken in: good only while that one's record is ACTIVE.
  bool registered = false;
  friend bool operator==(const CertificateRecord&, const CertificateRecord&) = default;
};
json::Value to_json(const CertificateRecord& record);
Result<CertificateRecord> certificate_record_from_json(const json::Value& value);

// An authority of the operator's own whose certificates gateways may trust. Topic certificates, key
// authority/FINGERPRINT: in one order with the certificates that it issued. A deletion is a record, too.
enum class AuthorityStatus { active, inactive, deleted };
std::string_view to_string(AuthorityStatus status);  // ACTIVE, INACTIVE, DELETED
Result<AuthorityStatus> parse_authority_status(std::string_view text);

struct AuthorityRecord {
  std::string fingerprint;      // SHA-256 of the DER, 64 hex digits
  std::string certificate_pem;  // empty when it is deleted
  AuthorityStatus status = AuthorityStatus::inactive;
  std::int64_t version = 0;  // rises per authority
  friend bool operator==(const AuthorityRecord&, const AuthorityRecord&) = default;
};
constexpr std::string_view authority_key_prefix = "authority/";
constexpr std::size_t authority_pem_bytes_max = 16 * 1024;
json::Value to_json(const AuthorityRecord& record);
Result<AuthorityRecord> authority_record_from_json(const json::Value& value);

}  // namespace fleetward::fleet
