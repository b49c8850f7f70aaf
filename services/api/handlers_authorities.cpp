// Authorities of the operator's own: the operations of AWS IoT, and where their CRLs are, which those do not know.
#include "crypto/digest.hpp"
#include "http/message.hpp"
#include "pki/authority.hpp"
#include "repository/authority_feed.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using fleet::AuthorityStatus;
using json::Value;
using repository::AuthorityRow;

constexpr std::int64_t crl_every_min = 1, crl_every_max = 7 * 24 * 3'600, crl_every_usual = 900;  // seconds
constexpr std::size_t file_name_bytes_max = 128;

// Whoever shows a certificate with this name, signed by an authority, has its key at hand for this installation. No
// secret, and the same at each asking.
std::string registration_code(const Call& call) {
  return crypto::sha256_hex(fmt::format("registration code of {} {}\n{}", call.config.installation.account,
                                        call.config.installation.region, call.config.own_authorities_pem));
}

Error refused(std::string what) { return Error(ErrorCode::unsupported, std::move(what)); }

// Devices that come by themselves are a later matter; said here rather than left out in silence.
Status refuse_just_in_time(const Call& call) {
  constexpr std::string_view instead =
      "just-in-time registration is not supported: take certificates in with RegisterCertificate, or with `fleetward "
      "things import`";
  const auto config = call.args.body.find("registrationConfig");
  if (call.args.boolean("allowAutoRegistration", false) || call.text("newAutoRegistrationStatus") == "ENABLE" ||
      (config != call.args.body.end() && !config->is_null()))
    return refused(std::string(instead));
  const auto tags = call.args.body.find("tags");
  if (tags != call.args.body.end() && !tags->is_null() && !tags->empty()) return refused("tags are not supported");
  return {};
}

Status refuse_ours(const Call& call, const pki::AuthorityInfo& info) {
  for (const std::string_view pem : pki::certificates_in(call.config.own_authorities_pem)) {
    const auto ours = pki::key_id_of(pem);
    if (!ours) return Error(ErrorCode::internal, "own authorities: " + ours.error().message);
    if (*ours == info.key_id)
      return Error(ErrorCode::invalid_argument,
                   "it is this installation's own authority: its certificates are good already");
  }
  return {};
}

// RegistrationCodeValidationException, by the route's table.
Status check_verification(const Call& call, const pki::AuthorityInfo& authority) {
  const std::string pem = call.text("verificationCertificate");
  const auto wrong = [](std::string what) { return Error(ErrorCode::failed_precondition, std::move(what)); };
  if (pem.empty())
    return wrong(
        "a verification certificate is missing: one that the CA signed, with the code of GetRegistrationCode as "
        "its common name; or set certificateMode to SNI_ONLY");
  const auto info = pki::read_certificate(pem);
  if (!info) return wrong("verification certificate: " + info.error().message);
  if (!pki::is_issued_by(pem, authority.pem)) return wrong("the verification certificate is not signed by the CA");
  if (call.now < info->not_before || call.now >= info->not_after)
    return wrong("the verification certificate is not valid now");
  if (info->common_name != registration_code(call))
    return wrong("the common name of the verification certificate is not the registration code");
  return {};
}

Result<Value> register_ca(Call& call) {
  if (const Status supported = refuse_just_in_time(call); !supported) return supported.error();
  const std::string mode = call.text("certificateMode", "DEFAULT");
  const auto info = pki::read_authority(call.text("caCertificate"), call.now);
  if (!info) return info.error().with_context("the CA certificate cannot be taken");
  if (const Status foreign = refuse_ours(call, *info); !foreign) return foreign.error();
  if (mode == "DEFAULT") {
    if (const Status proven = check_verification(call, *info); !proven) return proven.error();
  } else if (!call.text("verificationCertificate").empty()) {
    return refused("a verification certificate is for certificateMode DEFAULT");
  }
  const auto status = call.args.boolean("setAsActive", false) ? AuthorityStatus::active : AuthorityStatus::inactive;
  const Status registered = repository::register_authority(call.tx, *info, status, mode, call.now);
  if (!registered) return registered.error();
  const std::string& id = info->certificate.fingerprint;
  return Value{{"certificateArn", call.arn("cacert", id)}, {"certificateId", id}};
}

Result<Value> describe_ca(Call& call) {
  const auto a = repository::get_authority(call.tx, call.text("caCertificateId"));
  if (!a) return a.error();
  return Value{{"certificateDescription",
                {{"certificateArn", call.arn("cacert", a->id)},
                 {"certificateId", a->id},
                 {"status", to_string(a->status)},
                 {"certificatePem", a->pem},
                 {"ownedBy", call.config.installation.account},
                 {"creationDate", seconds(a->created)},
                 {"autoRegistrationStatus", "DISABLE"},
                 {"lastModifiedDate", seconds(a->modified)},
                 {"customerVersion", 1},
                 {"validity", {{"notBefore", seconds(a->not_before)}, {"notAfter", seconds(a->not_after)}}},
                 {"certificateMode", a->mode}}}};
}

// There are few: sorted by id here, which is what a page goes on from.
Result<Value> list_cas(Call& call) {
  const bool is_ascending = call.args.boolean("isAscendingOrder", true);
  const auto rows_after = [&](const std::string& after, std::int64_t) {
    auto rows = repository::list_authorities(call.tx);
    if (!rows) return rows;
    std::sort(rows->begin(), rows->end(),
              [&](const auto& a, const auto& b) { return is_ascending ? a.id < b.id : b.id < a.id; });
    std::erase_if(*rows,
                  [&](const auto& a) { return !after.empty() && (is_ascending ? a.id <= after : a.id >= after); });
    return rows;
  };
  const auto item = [&](const AuthorityRow& a) {
    return Value{{"certificateArn", call.arn("cacert", a.id)},
                 {"certificateId", a.id},
                 {"status", to_string(a.status)},
                 {"creationDate", seconds(a.created)}};
  };
  return list_page(
      call, by_marker, "certificates", rows_after, [](const auto& row) { return row.id; }, item);
}

Result<Value> update_ca(Call& call) {
  if (const Status supported = refuse_just_in_time(call); !supported) return supported.error();
  const std::string id = call.text("caCertificateId");
  if (const auto known = repository::get_authority(call.tx, id); !known) return known.error();
  const std::string wanted = call.text("newStatus");
  if (wanted.empty() && call.text("newAutoRegistrationStatus").empty() &&
      !call.args.boolean("removeAutoRegistration", false))
    return Error(ErrorCode::invalid_argument, "newStatus is missing: there is nothing to change");
  if (wanted.empty()) return Value::object();  // it does not register by itself as it is
  const auto status = fleet::parse_authority_status(wanted);
  const Status set = repository::set_authority_status(call.tx, id, *status, call.now);
  return set ? Result<Value>(Value::object()) : set.error();
}

Result<Value> delete_ca(Call& call) {
  const Status gone = repository::delete_authority(call.tx, call.text("caCertificateId"), call.now);
  return gone ? Result<Value>(Value::object()) : gone.error();
}

Result<Value> code(Call& call) { return Value{{"registrationCode", registration_code(call)}}; }

Result<Value> register_certificate(Call& call) {
  const bool active = call.args.boolean("setAsActive", false);
  const auto status = fleet::parse_certificate_status(call.text("status", active ? "ACTIVE" : "INACTIVE"));
  const auto made = repository::register_certificate(call.tx, call.text("certificatePem"),
                                                     call.text("caCertificatePem"), *status, call.now);
  if (!made) return made.error();
  return Value{{"certificateArn", call.arn("cert", made->id)}, {"certificateId", made->id}};
}

Result<Value> list_by_ca(Call& call) {
  const bool is_ascending = call.args.boolean("isAscendingOrder", true);
  return list_page(
      call, by_marker, "certificates",
      [&](const std::string& after, std::int64_t limit) {
        return repository::certificates_by_authority(call.tx, call.text("caCertificateId"), after, is_ascending, limit);
      },
      [](const auto& row) { return row.id; }, [&](const auto& row) { return certificate_item(call, row); });
}

// ---- /v1: the same with what their CRLs say

Result<Value> authority_json(Call& call, const AuthorityRow& a) {
  const auto stopped = repository::stopped_certificates(call.tx, a.id);
  if (!stopped) return stopped.error();
  Value out = {{"id", a.id},
               {"subject", a.subject},
               {"status", to_string(a.status)},
               {"certificateMode", a.mode},
               {"notBefore", to_ms(a.not_before)},
               {"notAfter", to_ms(a.not_after)},
               {"created", to_ms(a.created)},
               {"certificatePem", a.pem},
               {"stoppedCertificates", *stopped}};
  if (a.crl_source.empty() && a.feed.digest.empty()) return out;
  Value crl = {{"source", a.crl_source},
               {"everySeconds", a.crl_every.count() / 1000},
               {"read", to_ms(a.feed.read)},
               {"number", a.feed.number},
               {"thisUpdate", to_ms(a.feed.this_update)},
               {"nextUpdate", to_ms(a.feed.next_update)},
               {"entries", a.feed.entries},
               {"applied", a.feed.applied},
               {"expired", !a.feed.digest.empty() && call.now >= a.feed.next_update}};
  if (!a.feed.error.empty()) {
    crl["error"] = a.feed.error;
    crl["failingSince"] = to_ms(a.feed.failed);
  }
  out["crl"] = std::move(crl);
  return out;
}

Result<Value> list_authorities(Call& call) {
  const auto rows = repository::list_authorities(call.tx);
  if (!rows) return rows.error();
  Value items = Value::array();
  for (const AuthorityRow& row : *rows) {
    auto item = authority_json(call, row);
    if (!item) return item.error();
    items.push_back(std::move(*item));
  }
  return Value{{"authorities", std::move(items)}};
}

Result<Value> show_authority(Call& call) {
  const auto row = repository::get_authority(call.tx, call.text("id"));
  return row ? authority_json(call, *row) : row.error();
}

// A name only: which folder it is in is the operator's file to say, not the caller's.
bool is_file_name(const std::string& name) {
  return name.size() <= file_name_bytes_max && name.front() != '.' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
             std::string::npos;
}

Status check_source(const AuthorityRow& authority, const std::string& source) {
  if (source.empty()) return {};
  const auto info = pki::read_authority(authority.pem, authority.not_before);
  if (info && !info->signs_crl)
    return Error(ErrorCode::invalid_argument,
                 "its key usage does not let it sign CRLs, and those of others are not read");
  if (source.find("://") == std::string::npos) {
    if (is_file_name(source)) return {};
    return Error(
        ErrorCode::invalid_argument,
        "source is neither an http(s) URL nor the name of a file (letters, digits, . _ -): put the file into the "
        "folder pki.crl_folder (crl in the data folder) and give its name");
  }
  const auto url = http::parse_url(source);
  return url ? Status() : Status(url.error().with_context("source"));
}

Result<Value> set_crl(Call& call) {
  const auto row = repository::get_authority(call.tx, call.text("id"));
  if (!row) return row.error();
  const std::string source = call.text("source");
  if (const Status good = check_source(*row, source); !good) return good.error();
  const Millis every = std::chrono::seconds(call.args.integer("everySeconds", crl_every_usual));
  const Status set = repository::set_feed(call.tx, row->id, source, every, call.now);
  if (!set) return set.error();
  return show_authority(call);
}

}  // namespace

std::vector<Operation> authority_operations() {
  const Member ca{"caCertificateId", In::path, Kind::text, true, 64, 64};
  const Member id{"id", In::path, Kind::text, true, 1, 64};
  const Member page{"pageSize", In::query, Kind::integer, false, 1, page_max};
  const Member marker{"marker", In::query, Kind::text, false, 1, 4096};
  const Member ascending{"isAscendingOrder", In::query, Kind::boolean};
  const aws::OwnError not_supported{ErrorCode::unsupported, "InvalidRequestException", 400};
  const aws::OwnError not_valid{ErrorCode::invalid_argument, "CertificateValidationException", 400};
  const auto pem = [](std::string_view name, bool required) {
    return Member{name, In::body, Kind::text, required, 1, pki::pem_bytes_max};
  };
  return {
      {{"RegisterCACertificate",
        "POST",
        "/cacertificate",
        Right::write,
        {pem("caCertificate", true),
         pem("verificationCertificate", false),
         {"setAsActive", In::query, Kind::boolean},
         {"allowAutoRegistration", In::query, Kind::boolean},
         {"registrationConfig", In::body, Kind::any},
         {"tags", In::body, Kind::any},
         {"certificateMode", In::body, Kind::text, false, 1, 16, "DEFAULT|SNI_ONLY"}},
        0,
        "InvalidRequestException",
        {not_supported, not_valid, {ErrorCode::failed_precondition, "RegistrationCodeValidationException", 400}}},
       register_ca},
      {{"DescribeCACertificate", "GET", "/cacertificate/{caCertificateId}", Right::read, {ca}}, describe_ca},
      {{"ListCACertificates", "GET", "/cacertificates", Right::read, {page, marker, ascending}}, list_cas},
      {{"UpdateCACertificate",
        "PUT",
        "/cacertificate/{caCertificateId}",
        Right::write,
        {ca,
         {"newStatus", In::query, Kind::text, false, 1, 16, "ACTIVE|INACTIVE"},
         {"newAutoRegistrationStatus", In::query, Kind::text, false, 1, 16, "ENABLE|DISABLE"},
         {"registrationConfig", In::body, Kind::any},
         {"removeAutoRegistration", In::body, Kind::boolean}},
        0,
        "InvalidRequestException",
        {not_supported}},
       update_ca},
      {{"DeleteCACertificate",
        "DELETE",
        "/cacertificate/{caCertificateId}",
        Right::write,
        {ca},
        0,
        "CertificateStateException"},
       delete_ca},
      {{"GetRegistrationCode", "GET", "/registrationcode", Right::read, {}}, code},
      {{"RegisterCertificate",
        "POST",
        "/certificate/register",
        Right::write,
        {pem("certificatePem", true),
         pem("caCertificatePem", false),
         {"setAsActive", In::query, Kind::boolean},
         {"status", In::body, Kind::text, false, 1, 32, "ACTIVE|INACTIVE"}},
        0,
        "CertificateStateException",
        {not_valid, {ErrorCode::conflict, "CertificateConflictException", 409}}},
       register_certificate},
      {{"ListCertificatesByCA",
        "GET",
        "/certificates-by-ca/{caCertificateId}",
        Right::read,
        {ca, page, marker, ascending}},
       list_by_ca},
      {{"v1.authorities.list", "GET", "/v1/authorities", Right::read, {}}, list_authorities},
      {{"v1.authorities.show", "GET", "/v1/authorities/{id}", Right::read, {id}}, show_authority},
      {{"v1.authorities.crl",
        "PUT",
        "/v1/authorities/{id}/crl",
        Right::write,
        {id,
         {"source", In::body, Kind::text, true, 0, 2048},
         {"everySeconds", In::body, Kind::integer, false, crl_every_min, crl_every_max}}},
       set_crl},
  };
}

}  // namespace fleetward::api
