#include "pki/ocsp.hpp"

#include <openssl/ocsp.h>

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

// Whether the id is about a certificate of our issuer, by whichever digest it uses (SHA-1 and SHA-256 only).
bool is_ours(OCSP_CERTID* id, X509* issuer) {
  ASN1_OBJECT* digest = nullptr;
  OCSP_id_get0_info(nullptr, &digest, nullptr, nullptr, id);
  const int nid = OBJ_obj2nid(digest);
  if (nid != NID_sha1 && nid != NID_sha256) return false;
  const EVP_MD* md = nid == NID_sha1 ? EVP_sha1() : EVP_sha256();
  const CertIdHandle ours(OCSP_cert_id_new(md, X509_get_subject_name(issuer), X509_get0_pubkey_bitstr(issuer),
                                           X509_get0_serialNumber(issuer)));
  return ours && OCSP_id_issuer_cmp(ours.get(), id) == 0;
}

void add_status(OCSP_BASICRESP* basic, OCSP_CERTID* id, const CertificateState& state, Instant now, Millis validity) {
  const auto from = to_asn1(now);
  const auto to = to_asn1(now + validity);
  if (state.kind == CertificateState::Kind::revoked) {
    const int reason =
        state.reason == RevocationReason::unspecified ? OCSP_REVOKED_STATUS_NOSTATUS : static_cast<int>(state.reason);
    OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_REVOKED, reason, to_asn1(state.revoked_at).get(), from.get(),
                           to.get());
    return;
  }
  const int status = state.kind == CertificateState::Kind::good ? V_OCSP_CERTSTATUS_GOOD : V_OCSP_CERTSTATUS_UNKNOWN;
  OCSP_basic_add1_status(basic, id, status, 0, nullptr, from.get(), to.get());
}

}  // namespace

OcspAnswer ocsp_try_later() { return error_answer(OCSP_RESPONSE_STATUS_TRYLATER); }

OcspAnswer answer_ocsp(ByteView der, const OcspSigner& signer,
                       const std::function<CertificateState(const std::string&)>& look_up, Instant now,
                       Millis validity) {
  if (der.size() > ocsp_request_bytes_max) return error_answer(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
  const unsigned char* cursor = der.data();
  const RequestHandle request(d2i_OCSP_REQUEST(nullptr, &cursor, static_cast<long>(der.size())));
  if (!request || cursor != der.data() + der.size()) return error_answer(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);
  const int ids = OCSP_request_onereq_count(request.get());
  bool bad_nonce = false;
  const auto nonce = nonce_of(request.get(), bad_nonce);
  crypto::take_openssl_errors();
  if (ids < 1 || ids > ocsp_ids_max || bad_nonce) return error_answer(OCSP_RESPONSE_STATUS_MALFORMEDREQUEST);

  const auto issuer = parse_pem(signer.issuer_pem);
  const auto delegate = parse_pem(signer.certificate_pem);
  if (!issuer || !delegate) return error_answer(OCSP_RESPONSE_STATUS_INTERNALERROR);
  const BasicHandle basic(OCSP_BASICRESP_new());
  for (int i = 0; i < ids; ++i) {
    OCSP_CERTID* id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request.get(), i));
    if (!is_ours(id, issuer->get())) return error_answer(OCSP_RESPONSE_STATUS_UNAUTHORIZED);
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, id);
    add_status(basic.get(), id, look_up(serial_hex(serial)), now, validity);
  }
  if (nonce) {
    Bytes copy = *nonce;
    OCSP_basic_add1_nonce(basic.get(), copy.data(), static_cast<int>(copy.size()));
  }
  // OpenSSL would set producedAt by its own clock, and has no setter for another.
  auto* produced_at = const_cast<ASN1_GENERALIZEDTIME*>(OCSP_resp_get0_produced_at(basic.get()));
  ASN1_GENERALIZEDTIME_set(produced_at, static_cast<std::time_t>(to_ms(now) / 1000));
  if (OCSP_basic_sign(basic.get(), delegate->get(), signer.key.native(), EVP_sha256(), nullptr, OCSP_NOTIME) != 1) {
    crypto::take_openssl_errors();
    return error_answer(OCSP_RESPONSE_STATUS_INTERNALERROR);
  }
  const ResponseHandle response(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
  return {crypto::to_der(response.get(), i2d_OCSP_RESPONSE), nonce.has_value(), false};
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
  id->release();  // the request owns it now
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
