#include "pki/openssl_time.hpp"

#include <openssl/pem.h>

#include <ctime>

#include "pki/certificate.hpp"

namespace fleetward::pki {

crypto::TimeHandle to_asn1(Instant t) {
  return crypto::TimeHandle(ASN1_TIME_set(nullptr, static_cast<std::time_t>(to_ms(t) / 1000)));
}

Result<Instant> from_asn1(const ASN1_TIME* t) {
  std::tm parts{};
  if (t == nullptr || ASN1_TIME_to_tm(t, &parts) != 1)
    return crypto::openssl_error(ErrorCode::invalid_argument, "a time in the certificate");
  return instant_from_ms(static_cast<std::int64_t>(::timegm(&parts)) * 1000);
}

std::string serial_hex(const ASN1_INTEGER* serial) {
  const crypto::BignumHandle number(ASN1_INTEGER_to_BN(serial, nullptr));
  Bytes bytes(static_cast<std::size_t>(BN_num_bytes(number.get())));
  BN_bn2bin(number.get(), bytes.data());
  return bytes.empty() ? "00" : to_hex(bytes);
}

crypto::IntegerHandle serial_from_hex(std::string_view hex) {
  BIGNUM* raw = nullptr;
  BN_hex2bn(&raw, std::string(hex).c_str());
  const crypto::BignumHandle number(raw);
  return crypto::IntegerHandle(BN_to_ASN1_INTEGER(number.get(), nullptr));
}

Result<crypto::CertHandle> parse_pem(std::string_view pem) {
  if (pem.size() > pem_bytes_max)
    return Error(ErrorCode::resource_exhausted, "the PEM text is too long for a certificate");
  const crypto::BioHandle bio = crypto::bio_over(as_bytes(pem));
  crypto::CertHandle certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!certificate) {
    crypto::take_openssl_errors();
    return Error(ErrorCode::invalid_argument, "not a certificate in PEM");
  }
  return certificate;
}

}  // namespace fleetward::pki
