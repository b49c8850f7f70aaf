// Certificates: made, attached, and their states.
#include "pki/certificate.hpp"
#include "repository/action_repository.hpp"
#include "repository/certificate_repository.hpp"
#include "repository/registry_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

constexpr Millis by_hand_lease = std::chrono::hours(24 * 30);

Result<Value> not_found(const std::string& id) {
  return Error(ErrorCode::not_found, fmt::format("Certificate {} cannot be found.", printable(id, 80)));
}

Result<Wish> create_keys(Call& call) {
  const auto key = crypto::PrivateKey::generate();
  if (!key) return key.error();
  Wish wish;
  wish.public_key_pem = key->public_key().to_pem();
  wish.active = call.args.boolean("setAsActive", false);
  wish.answer = {{"keyPair", {{"PublicKey", wish.public_key_pem}, {"PrivateKey", key->to_pem()}}}};
  return wish;
}

Result<Wish> create_from_csr(Call& call) {
  const auto key = pki::read_signing_request(call.text("certificateSigningRequest"));
  if (!key) return key.error();
  Wish wish;
  wish.public_key_pem = key->to_pem();
  wish.active = call.args.boolean("setAsActive", false);
  wish.answer = Value::object();
  return wish;
}

// arn:…:cert/ID
Result<std::string> certificate_of_principal(Call& call) {
  const auto id = fleet::parse_arn(call.config.installation, "cert", call.text("x-amzn-principal"));
  if (!id) return id.error();
  return *id;
}

// While a thing is held its certificates stay as they are: under another name the device would be in again.
Status check_free(Call& call, const std::string& thing) {
  const auto holds = repository::holds_of(call.tx, thing);
  if (!holds) return holds.error();
  if (holds->empty()) return {};
  return Error(ErrorCode::failed_precondition,
               fmt::format("Thing {} is held by action {}: release it first.", thing, holds->front().action_id));
}

Result<Value> attach(Call& call) {
  const auto thing = repository::get_thing(call.tx, call.text("thingName"));
  if (!thing) return thing.error();
  const auto id = certificate_of_principal(call);
  if (!id) return id.error();
  if (const Status free = check_free(call, thing->name); !free) return free.error();
  const Status done = repository::attach_certificate(call.tx, *id, thing->name, thing->id, call.now);
  if (!done && done.error().code == ErrorCode::not_found) return not_found(*id);
  if (!done) return done.error();
  return Value::object();
}

Result<Value> detach(Call& call) {
  const auto id = certificate_of_principal(call);
  if (!id) return id.error();
  const auto row = repository::find_certificate(call.tx, *id);
  if (!row) return row.error();
  if (!*row) return not_found(*id);
  if ((**row).thing != call.text("thingName"))
    return Error(ErrorCode::not_found, "The principal is not attached to this thing.");
  if (const Status free = check_free(call, (**row).thing); !free) return free.error();
  const Status done = repository::attach_certificate(call.tx, *id, "", "", call.now);
  if (!done) return done.error();
  return Value::object();
}

Result<Value> list_principals(Call& call) {
  if (const auto thing = repository::get_thing(call.tx, call.text("thingName")); !thing) return thing.error();
  const auto after = decode_token(call);
  if (!after) return after.error();
  auto rows = repository::certificates_of(call.tx, call.text("thingName"));
  if (!rows) return rows.error();
  std::erase_if(*rows, [&](const auto& row) { return row.id <= *after; });
  const auto next = cut_page(call, *rows, page_size(call), [](const auto& row) { return row.id; });
  Value arns = Value::array();
  for (const auto& row : *rows) arns.push_back(call.arn("cert", row.id));
  Value out = {{"principals", std::move(arns)}};
  if (next) out["nextToken"] = *next;
  return out;
}

// A certificate has one thing at most.
Result<Value> list_things(Call& call) {
  const auto id = certificate_of_principal(call);
  if (!id) return id.error();
  const auto row = repository::find_certificate(call.tx, *id);
  if (!row) return row.error();
  if (!*row) return not_found(*id);
  const auto after = decode_token(call);
  if (!after) return after.error();
  Value things = Value::array();
  if ((**row).thing > *after) things.push_back((**row).thing);
  return Value{{"things", std::move(things)}};
}

Result<Value> describe(Call& call) {
  const std::string id = call.text("certificateId");
  const auto row = repository::find_certificate(call.tx, id);
  if (!row) return row.error();
  if (!*row) return not_found(id);
  const auto& c = **row;
  Value description = {{"certificateArn", call.arn("cert", id)},
                       {"certificateId", id},
                       {"status", to_string(c.status)},
                       {"certificatePem", c.pem},
                       {"ownedBy", call.config.installation.account},
                       {"creationDate", seconds(c.created)},
                       {"lastModifiedDate", seconds(c.modified)},
                       {"customerVersion", 1},
                       {"certificateMode", "DEFAULT"},
                       {"validity", {{"notBefore", seconds(c.not_before)}, {"notAfter", seconds(c.not_after)}}}};
  if (c.registered) description["caCertificateId"] = c.issuer;
  return Value{{"certificateDescription", std::move(description)}};
}

Result<Value> list(Call& call) {
  return list_page(
      call, by_marker, "certificates",
      [&](const std::string& after, std::int64_t limit) {
        return repository::list_certificates(call.tx, after, limit);
      },
      [](const auto& row) { return row.id; }, [&](const auto& row) { return certificate_item(call, row); });
}

// To REVOKED it is a person's approved action: proven like any other when a thing has the certificate.
Result<Value> update(Call& call) {
  const std::string id = call.text("certificateId");
  const std::string wanted = call.text("newStatus");
  const auto row = repository::find_certificate(call.tx, id);
  if (!row) return row.error();
  if (!*row) return not_found(id);
  if (wanted == "ACTIVE" || wanted == "INACTIVE") {
    const auto status = fleet::parse_certificate_status(wanted);
    const Status done = repository::set_certificate_status(call.tx, id, *status, call.now);
    if (!done) return done.error();
    return Value::object();
  }
  if (!call.who.may(Right::approve))
    return Error(ErrorCode::permission_denied, "revoking a certificate needs the right to approve");
  const auto action = revoke_by_hand(call, **row, "certificate revoked by " + call.who.name);
  if (!action) return action.error();
  return Value::object();
}

}  // namespace

Result<std::optional<fleet::Action>> revoke_by_hand(Call& call, const repository::CertificateRow& row,
                                                    const std::string& reason) {
  if (row.status == fleet::CertificateStatus::revoked) return std::optional<fleet::Action>();
  bool has_another = false;
  if (!row.thing.empty()) {
    const auto siblings = repository::certificates_of(call.tx, row.thing);
    if (!siblings) return siblings.error();
    has_another = std::any_of(siblings->begin(), siblings->end(), [&](const auto& other) {
      return other.id != row.id && other.status != fleet::CertificateStatus::revoked && other.not_after > call.now;
    });
  }
  if (has_another) {
    auto alone = repository::revoke_certificate_by_hand(call.tx, row, reason, call.who.name, call.now);
    if (!alone) return alone.error();
    return std::optional(std::move(*alone));
  }
  if (row.thing.empty()) {
    const Status done = repository::revoke_certificate(call.tx, row.id, pki::RevocationReason::unspecified, call.now);
    if (!done) return done.error();
    return std::optional<fleet::Action>();
  }
  auto action = repository::act_by_hand(call.tx, row.thing, row.thing_id, fleet::HoldLevel::revoke, reason,
                                        call.who.name, by_hand_lease, call.now);
  if (!action) return action.error();
  return std::optional(std::move(*action));
}

Value certificate_item(const Call& call, const repository::CertificateRow& row) {
  return {{"certificateArn", call.arn("cert", row.id)},
          {"certificateId", row.id},
          {"status", to_string(row.status)},
          {"creationDate", seconds(row.created)}};
}

Result<Value> certificate_answer(const ApiConfig& config, const Wish& wish, const std::string& pem) {
  const auto info = pki::read_certificate(pem);
  if (!info) return info.error();
  Value answer = wish.answer;
  answer["certificateId"] = info->fingerprint;
  answer["certificateArn"] = fleet::arn(config.installation, "cert", info->fingerprint);
  answer["certificatePem"] = pem;
  return answer;
}

std::vector<Operation> certificate_operations() {
  const Member thing{"thingName", In::path, Kind::name, true};
  const Member principal{"x-amzn-principal", In::header, Kind::text, true, 1, 2048};
  const Member id{"certificateId", In::path, Kind::text, true, 64, 64};
  const Member active{"setAsActive", In::query, Kind::boolean};
  return {
      {{"CreateKeysAndCertificate", "POST", "/keys-and-certificate", Right::write, {active}}, nullptr, create_keys},
      {{"CreateCertificateFromCsr",
        "POST",
        "/certificates",
        Right::write,
        {active, {"certificateSigningRequest", In::body, Kind::text, true, 1, 16'384}}},
       nullptr,
       create_from_csr},
      {{"AttachThingPrincipal", "PUT", "/things/{thingName}/principals", Right::write, {thing, principal}}, attach},
      {{"DetachThingPrincipal", "DELETE", "/things/{thingName}/principals", Right::write, {thing, principal}}, detach},
      {{"ListThingPrincipals",
        "GET",
        "/things/{thingName}/principals",
        Right::read,
        {thing,
         {"maxResults", In::query, Kind::integer, false, 1, page_max},
         {"nextToken", In::query, Kind::text, false, 1, 4096}}},
       list_principals},
      {{"ListPrincipalThings",
        "GET",
        "/principals/things",
        Right::read,
        {principal,
         {"maxResults", In::query, Kind::integer, false, 1, page_max},
         {"nextToken", In::query, Kind::text, false, 1, 4096}}},
       list_things},
      {{"DescribeCertificate", "GET", "/certificates/{certificateId}", Right::read, {id}}, describe},
      {{"ListCertificates",
        "GET",
        "/certificates",
        Right::read,
        {{"pageSize", In::query, Kind::integer, false, 1, page_max},
         {"marker", In::query, Kind::text, false, 1, 4096},
         {"isAscendingOrder", In::query, Kind::boolean}}},
       list},
      {{"UpdateCertificate",
        "PUT",
        "/certificates/{certificateId}",
        Right::write,
        {id, {"newStatus", In::query, Kind::text, true, 1, 32, "ACTIVE|INACTIVE|REVOKED"}},
        0,
        "CertificateStateException"},
       update},
  };
}

}  // namespace fleetward::api
