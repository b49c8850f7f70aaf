#include "fleet/access.hpp"

#include <fmt/format.h>

#include <array>

namespace fleetward::fleet {
namespace {

constexpr std::array<std::string_view, 3> level_names = {"restrict", "isolate", "revoke"};
constexpr std::array<std::string_view, 4> status_names = {"ACTIVE", "INACTIVE", "REVOKED", "PENDING_ACTIVATION"};
constexpr std::array<std::string_view, 3> authority_names = {"ACTIVE", "INACTIVE", "DELETED"};
constexpr std::int64_t any_max = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t holds_max = 64;

template <class Enum, std::size_t N>
Result<Enum> parse_name(std::string_view text, const std::array<std::string_view, N>& names, std::string_view what) {
  for (std::size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<Enum>(i);
  }
  return Error(ErrorCode::invalid_argument, fmt::format("{} is not one of {}", what, fmt::join(names, ", ")));
}

}  // namespace

std::string_view to_string(HoldLevel level) { return level_names[static_cast<std::size_t>(level)]; }
Result<HoldLevel> parse_hold_level(std::string_view text) { return parse_name<HoldLevel>(text, level_names, "level"); }
std::string_view to_string(CertificateStatus status) { return status_names[static_cast<std::size_t>(status)]; }
Result<CertificateStatus> parse_certificate_status(std::string_view text) {
  return parse_name<CertificateStatus>(text, status_names, "status");
}

json::Value to_json(const AccessRecord& a) {
  json::Value holds = json::Value::array();
  for (const Hold& h : a.holds) {
    holds.push_back({{"actionId", h.action_id},
                     {"level", to_string(h.level)},
                     {"reason", h.reason},
                     {"actor", h.actor},
                     {"since", to_ms(h.since)},
                     {"leaseEnd", to_ms(h.lease_end)}});
  }
  return {{"thing", a.thing}, {"thingId", a.thing_id}, {"version", a.version}, {"holds", std::move(holds)}};
}

Result<AccessRecord> access_record_from_json(const json::Value& value) {
  json::Reader r(value, "access");
  AccessRecord a;
  a.thing = r.text("thing", 1, 128);
  a.thing_id = r.text_or("thingId", "", 64);
  a.version = r.integer("version", 0, any_max);
  const json::Value* holds = r.required("holds");
  if (holds != nullptr && (!holds->is_array() || holds->size() > holds_max))
    r.problem("holds", "is not a list of at most 64");
  if (const Status status = r.finish(); !status) return status.error();
  for (const json::Value& item : *holds) {
    json::Reader h(item, "access.holds");
    Hold hold;
    hold.action_id = h.text("actionId", 1, 64);
    const auto level = parse_hold_level(h.text("level"));
    hold.reason = h.text_or("reason", "", 4096);
    hold.actor = h.text_or("actor", "", 256);
    hold.since = h.instant_ms("since");
    hold.lease_end = h.instant_ms("leaseEnd");
    if (const Status status = h.finish(); !status) return status.error();
    if (!level) return level.error();
    hold.level = *level;
    a.holds.push_back(std::move(hold));
  }
  return a;
}

json::Value to_json(const CertificateRecord& c) {
  return {{"fingerprint", c.fingerprint},  {"thing", c.thing},
          {"thingId", c.thing_id},         {"issuer", c.issuer},
          {"registered", c.registered},    {"serial", c.serial},
          {"status", to_string(c.status)}, {"notAfter", to_ms(c.not_after)},
          {"version", c.version}};
}

Result<CertificateRecord> certificate_record_from_json(const json::Value& value) {
  json::Reader r(value, "certificate");
  CertificateRecord c;
  c.fingerprint = r.text("fingerprint", 64, 64);
  c.thing = r.text_or("thing", "", 128);
  c.thing_id = r.text_or("thingId", "", 64);
  c.issuer = r.text_or("issuer", "", 64);
  c.registered = r.boolean_or("registered", false);
  c.serial = r.text_or("serial", "", 64);
  const auto status = parse_certificate_status(r.text("status"));
  if (!status) r.problem("status", status.error().message);
  c.not_after = r.instant_ms("notAfter");
  c.version = r.integer("version", 0, any_max);
  if (const Status finished = r.finish(); !finished) return finished.error();
  c.status = *status;
  return c;
}

std::string_view to_string(AuthorityStatus status) { return authority_names[static_cast<std::size_t>(status)]; }
Result<AuthorityStatus> parse_authority_status(std::string_view text) {
  return parse_name<AuthorityStatus>(text, authority_names, "status");
}

json::Value to_json(const AuthorityRecord& a) {
  return {{"fingerprint", a.fingerprint},
          {"certificatePem", a.certificate_pem},
          {"status", to_string(a.status)},
          {"version", a.version}};
}

Result<AuthorityRecord> authority_record_from_json(const json::Value& value) {
  json::Reader r(value, "authority");
  AuthorityRecord a;
  a.fingerprint = r.text("fingerprint", 64, 64);
  a.certificate_pem = r.text_or("certificatePem", "", authority_pem_bytes_max);
  const auto status = parse_authority_status(r.text("status"));
  if (!status) r.problem("status", status.error().message);
  a.version = r.integer("version", 0, any_max);
  if (status && *status == AuthorityStatus::active && a.certificate_pem.empty())
    r.problem("certificatePem", "is missing of an active authority");
  if (const Status finished = r.finish(); !finished) return finished.error();
  a.status = *status;
  return a;
}

}  // namespace fleetward::fleet
