#include "peer.hpp"

#include <openssl/pem.h>

#include "crypto/openssl.hpp"

namespace fleetward::bench {
namespace {

using CrlHandle = std::unique_ptr<X509_CRL, crypto::OpensslFree<X509_CRL_free>>;
using RequestHandle = std::unique_ptr<OCSP_REQUEST, crypto::OpensslFree<OCSP_REQUEST_free>>;
using ResponseHandle = std::unique_ptr<OCSP_RESPONSE, crypto::OpensslFree<OCSP_RESPONSE_free>>;
using BasicHandle = std::unique_ptr<OCSP_BASICRESP, crypto::OpensslFree<OCSP_BASICRESP_free>>;

crypto::CertHandle certificate_of(std::string_view pem) {
  const crypto::BioHandle bio = crypto::bio_over(as_bytes(pem));
  return crypto::CertHandle(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

crypto::TimeHandle time_of(Instant t) {
  return crypto::TimeHandle(ASN1_TIME_set(nullptr, static_cast<std::time_t>(to_ms(t) / 1000)));
}

void add_entry(X509_CRL* crl, std::string_view serial, Instant at) {
  BIGNUM* raw = nullptr;
  BN_hex2bn(&raw, std::string(serial).c_str());
  const crypto::BignumHandle number(raw);
  const crypto::IntegerHandle integer(BN_to_ASN1_INTEGER(number.get(), nullptr));
  X509_REVOKED* entry = X509_REVOKED_new();
  X509_REVOKED_set_serialNumber(entry, integer.get());
  X509_REVOKED_set_revocationDate(entry, time_of(at).get());
  X509_CRL_add0_revoked(crl, entry);
}

}  // namespace

Bytes openssl_crl(const pki::Issuer& issuer, const std::function<void(const Add&)>& entries, Instant this_update,
                  Instant next_update) {
  const auto certificate = certificate_of(issuer.certificate_pem);
  const CrlHandle crl(X509_CRL_new());
  X509_CRL_set_version(crl.get(), 1);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(certificate.get()));
  X509_CRL_set1_lastUpdate(crl.get(), time_of(this_update).get());
  X509_CRL_set1_nextUpdate(crl.get(), time_of(next_update).get());
  entries([&](std::string_view serial, Instant at) { add_entry(crl.get(), serial, at); });
  X509_CRL_sort(crl.get());
  X509_CRL_sign(crl.get(), issuer.key.native(), EVP_sha256());
  return crypto::to_der(crl.get(), i2d_X509_CRL);
}

struct OpensslOcsp::State {
  crypto::CertHandle delegate;
  crypto::PrivateKey key;
};

OpensslOcsp::OpensslOcsp(const pki::OcspSigner& signer)
    : state_(std::make_unique<State>(State{certificate_of(signer.certificate_pem), signer.key})) {}
OpensslOcsp::~OpensslOcsp() = default;

Bytes OpensslOcsp::answer(ByteView request_der, Instant now, Millis validity) const {
  const unsigned char* cursor = request_der.data();
  const RequestHandle request(d2i_OCSP_REQUEST(nullptr, &cursor, static_cast<long>(request_der.size())));
  const BasicHandle basic(OCSP_BASICRESP_new());
  OCSP_CERTID* id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request.get(), 0));
  OCSP_basic_add1_status(basic.get(), id, V_OCSP_CERTSTATUS_GOOD, 0, nullptr, time_of(now).get(),
                         time_of(now + validity).get());
  OCSP_basic_sign(basic.get(), state_->delegate.get(), state_->key.native(), EVP_sha256(), nullptr, 0);
  const ResponseHandle response(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
  return crypto::to_der(response.get(), i2d_OCSP_RESPONSE);
}

}  // namespace fleetward::bench
