#include "pki/ocsp.hpp"

#include <openssl/ocsp.h>

#include "pki/der.hpp"
#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

using RequestHandle = std::unique_ptr<OCSP_REQUEST, crypto::OpensslFree<OCSP_REQUEST_free>>;
using ResponseHandle = std::unique_ptr<OCSP_RESPONSE, crypto::OpensslFree<OCSP_RESPONSE_free>>;
using BasicHandle = std::unique_ptr<OCSP_BASICRESP, crypto::OpensslFree<OCSP_BASICRESP_free>>;
using CertIdHandle = std::unique_ptr<OCSP_CERTID, crypto::OpensslFree<OCSP_CERTID_free>>;

constexpr std::size_t nonce_bytes_max = 128;
constexpr std::size_t ocsp_answer_bytes_max = 64 * 1024;
constexpr Millis clock_skew{60'000};

OcspAnswer error_answer(int status) {
  const ResponseHandle response(OCSP_response_create(status, nullptr));
  crypto::take_openssl_errors();
  return {crypto::to_der(response.get(), i2d_OCSP_RESPONSE), false, true};
}

// The nonce's octets; nothing without one. `bad` when it has none or too many.
std::optional<Bytes> nonce_of(OCSP_REQUEST* request, bool& bad) {
  bad = false;
  const int at = OCSP_REQUEST_get_ext_by_NID(request, NID_id_pkix_OCSP_Nonce, -1);
  if (at < 0) return std::nullopt;
  const ASN1_OCTET_STRING* value = X509_EXTENSION_get_data(OCSP_REQUEST_get_ext(request, at));
  const ByteView raw(ASN1_STRING_get0_data(value), static_cast<std::size_t>(ASN1_STRING_length(value)));
  // RFC 9654: an OCTET STRING within the extension's value. Short lengths only: one length byte up to 127, two for 128.
  std::size_t header = 2;
  if (raw.size() >= 3 && raw[0] == 0x04 && raw[1] == 0x81) header = 3;
  const bool framed = raw.size() > header && raw[0] == 0x04 && raw[header - 1] == raw.size() - header;
  const std::size_t length = framed ? raw.size() - header : raw.size();
  bad = length == 0 || length > nonce_bytes_max || !framed;
  return bad ? std::nullopt : std::optional(Bytes(raw.end() - static_cast<std::ptrdiff_t>(length), raw.end()));
}

Bytes octets_of(const ASN1_STRING* text) {
  const std::uint8_t* data = ASN1_STRING_get0_data(text);
  return {data, data + ASN1_STRING_length(text)};
}

// SingleResponse (RFC 6960 section 4.2.1). `id`: DER, as it was asked.
void put_status(Bytes& out, ByteView id, const CertificateState& state, Instant now, Millis validity) {
  const std::size_t start = out.size();
  der::put(out, id);
  const std::size_t status = out.size();
  switch (state.kind) {
    case CertificateState::Kind::good:
      der::put_header(out, der::primitive(0), 0);
      break;
    case CertificateState::Kind::unknown:
      der::put_header(out, der::primitive(2), 0);
      break;
    case CertificateState::Kind::revoked:
      der::put_generalized_time(out, state.revoked_at);
      if (state.reason != RevocationReason::unspecified) {
        const Bytes reason = {static_cast<std::uint8_t>(state.reason)};
        der::put(out, der::wrap(der::constructed(0), der::wrap(der::enumerated, reason)));
      }
      der::wrap_from(out, status, der::constructed(1));
  }
  der::put_generalized_time(out, now);
  const std::size_t next = out.size();
  der::put_generalized_time(out, now + validity);
  der::wrap_from(out, next, der::constructed(0));
  der::wrap_from(out, start, der::sequence);
}

}  // namespace

OcspAnswer ocsp_try_later() { return error_answer(OCSP_RESPONSE_STATUS_TRYLATER); }

Result<OcspResponder> OcspResponder::make(const OcspSigner& signer) {
  const auto issuer = parse_pem(signer.issuer_pem);
  if (!issuer) return issuer.error().with_context("issuer");
  const auto delegate = parse_pem(signer.certificate_pem);
  if (!delegate) return delegate.error().with_context("OCSP signer");
  if (X509_check_private_key(delegate->get(), signer.key.native()) != 1)
    return crypto::openssl_error(ErrorCode::invalid_argument, "the key is not the OCSP signer's");
  OcspResponder made(signer.key);
  for (const auto& [md, id] : {std::pair(EVP_sha1(), &made.by_sha1_), {EVP_sha256(), &made.by_sha256_}}) {
    const CertIdHandle named(OCSP_cert_id_new(md, X509_get_subject_name(issuer->get()),
                                              X509_get0_pubkey_bitstr(issuer->get()),
                                              X509_get0_serialNumber(issuer->get())));
    ASN1_OCTET_STRING* name = nullptr;
    ASN1_OCTET_STRING* key = nullptr;
    OCSP_id_get0_info(&name, nullptr, &key, nullptr, named.get());
    *id = {octets_of(name), octets_of(key)};
  }
  const Bytes name = crypto::to_der(X509_get_subject_name(delegate->get()), i2d_X509_NAME);
  made.responder_id_ = der::wrap(der::constructed(1), name);
  const Bytes certificate = crypto::to_der(delegate->get(), i2d_X509);
  made.certificates_ = der::wrap(der::constructed(0), der::wrap(der::sequence, certificate));
  return made;
}

// Whether the id is about a certificate of our issuer, by whichever digest it uses (SHA-1 and SHA-256 only).
bool OcspResponder::is_ours(const IssuerId& asked, int digest_nid) const {
  if (digest_nid != NID_sha1 && digest_nid != NID_sha256) return false;
  const IssuerId& ours = digest_nid == NID_sha1 ? by_sha1_ : by_sha256_;
  return asked.name_hash == ours.name_hash && asked.key_hash == ours.key_hash;
}

OcspAnswer OcspResponder::answer(ByteView request_der, const LookUp& look_up, Instant now, Millis validity) const {
  if (request_der.size() > ocsp_request_bytes_max) return error_answer(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
  const unsigned char* cursor = request_der.data();
  const RequestHandle request(d2i_OCSP_REQUEST(nullptr, &cursor, static_cast<long>(request_der.size())));
  if (!request || cursor != request_der.data() + request_der.size())
    return error_answer(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
  const int ids = OCSP_request_onereq_count(request.get());
  bool bad_nonce = false;
  const auto nonce = nonce_of(request.get(), bad_nonce);
  crypto::take_openssl_errors();
  if (ids < 1 || ids > ocsp_ids_max || bad_nonce) return error_answer(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
  Bytes responses;
  for (int i = 0; i < ids; ++i) {
    OCSP_CERTID* id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request.get(), i));
    ASN1_OBJECT* digest = nullptr;
    ASN1_OCTET_STRING* name = nullptr;
    ASN1_OCTET_STRING* key = nullptr;
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(&name, &digest, &key, &serial, id);
    if (!is_ours({octets_of(name), octets_of(key)}, OBJ_obj2nid(digest)))
      return error_answer(OCSP_RESPONSE_STATUS_UNAUTHORIZED);
    put_status(responses, crypto::to_der(id, i2d_OCSP_CERTID), look_up(serial_hex(serial)), now, validity);
  }
  return sign(responses, nonce, now);
}

OcspAnswer OcspResponder::sign(ByteView responses, const std::optional<Bytes>& nonce, Instant now) const {
  static const Bytes nonce_oid = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02};
  static const Bytes basic_oid = {0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
  Bytes data = responder_id_;
  der::put_generalized_time(data, now);
  der::put(data, der::wrap(der::sequence, responses));
  if (nonce) {
    Bytes list;
    der::put_extension(list, nonce_oid, der::wrap(der::octet_string, *nonce));
    der::put(data, der::wrap(der::constructed(1), der::wrap(der::sequence, list)));
  }
  Bytes basic = der::wrap(der::sequence, data);
  const auto signature = key_.sign(basic);
  if (!signature) return error_answer(OCSP_RESPONSE_STATUS_INTERNALERROR);
  der::put(basic, der::ecdsa_with_sha256());
  der::put_bits(basic, *signature);
  der::put(basic, certificates_);
  Bytes body = der::wrap(der::oid_tag, basic_oid);
  der::put(body, der::wrap(der::octet_string, der::wrap(der::sequence, basic)));
  Bytes response = {der::enumerated, 0x01, OCSP_RESPONSE_STATUS_SUCCESSFUL};
  der::put(response, der::wrap(der::constructed(0), der::wrap(der::sequence, body)));
  return {der::wrap(der::sequence, response), nonce.has_value(), false};
}

OcspAnswer answer_ocsp(ByteView request_der, const OcspSigner& signer, const OcspResponder::LookUp& look_up,
                       Instant now, Millis validity) {
  const auto responder = OcspResponder::make(signer);
  if (!responder) return error_answer(OCSP_RESPONSE_STATUS_INTERNALERROR);
  return responder->answer(request_der, look_up, now, validity);
}

namespace {

Result<CertIdHandle> id_for(std::string_view certificate_pem, std::string_view issuer_pem) {
  const auto certificate = parse_pem(certificate_pem);
  if (!certificate) return certificate.error();
  const auto issuer = parse_pem(issuer_pem);
  if (!issuer) return issuer.error();
  CertIdHandle id(OCSP_cert_to_id(EVP_sha256(), certificate->get(), issuer->get()));
  if (!id) return crypto::openssl_error(ErrorCode::invalid_argument, "OCSP id");
  return id;
}

}  // namespace

Result<Bytes> make_ocsp_request(std::string_view certificate_pem, std::string_view issuer_pem) {
  auto id = id_for(certificate_pem, issuer_pem);
  if (!id) return id.error();
  const RequestHandle request(OCSP_REQUEST_new());
  if (OCSP_request_add0_id(request.get(), id->get()) == nullptr)
    return crypto::openssl_error(ErrorCode::internal, "OCSP request");
  static_cast<void>(id->release());  // the request owns it now
  return crypto::to_der(request.get(), i2d_OCSP_REQUEST);
}

Result<CertificateState> read_ocsp_answer(ByteView der, std::string_view certificate_pem, std::string_view issuer_pem,
                                          Instant now) {
  if (der.size() > ocsp_answer_bytes_max) return Error(ErrorCode::resource_exhausted, "the OCSP answer is too long");
  const auto id = id_for(certificate_pem, issuer_pem);
  if (!id) return id.error();
  const auto issuer = parse_pem(issuer_pem);
  const unsigned char* cursor = der.data();
  const ResponseHandle response(d2i_OCSP_RESPONSE(nullptr, &cursor, static_cast<long>(der.size())));
  if (!response) return crypto::openssl_error(ErrorCode::invalid_argument, "not an OCSP answer");
  if (OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    return Error(ErrorCode::unavailable,
                 fmt::format("OCSP answers {}", OCSP_response_status_str(OCSP_response_status(response.get()))));
  }
  const BasicHandle basic(OCSP_response_get1_basic(response.get()));
  const crypto::CertStoreHandle store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), issuer->get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store.get()), static_cast<std::time_t>(to_ms(now) / 1000));
  if (!basic || OCSP_basic_verify(basic.get(), nullptr, store.get(), 0) != 1) {
    return crypto::openssl_error(ErrorCode::permission_denied, "the OCSP answer's signature");
  }
  int status = 0;
  int reason = 0;
  ASN1_GENERALIZEDTIME* at = nullptr;
  ASN1_GENERALIZEDTIME* from = nullptr;
  ASN1_GENERALIZEDTIME* to = nullptr;
  if (OCSP_resp_find_status(basic.get(), id->get(), &status, &reason, &at, &from, &to) != 1) {
    return Error(ErrorCode::not_found, "the OCSP answer is about another certificate");
  }
  const auto this_update = from_asn1(from);
  if (!this_update) return this_update.error();
  const auto next_update = to == nullptr ? Result<Instant>(*this_update) : from_asn1(to);
  if (!next_update) return next_update.error();
  if (now + clock_skew < *this_update || now > *next_update + clock_skew)
    return Error(ErrorCode::failed_precondition, "the OCSP answer is stale, or of a time to come");
  CertificateState state;
  if (status == V_OCSP_CERTSTATUS_GOOD) state.kind = CertificateState::Kind::good;
  if (status == V_OCSP_CERTSTATUS_REVOKED) {
    state.kind = CertificateState::Kind::revoked;
    const auto revoked_at = from_asn1(at);
    if (!revoked_at) return revoked_at.error();
    state.revoked_at = *revoked_at;
    if (reason > 0) state.reason = static_cast<RevocationReason>(reason);
  }
  return state;
}

}  // namespace fleetward::pki
