#include "pki/authority.hpp"

#include <openssl/pem.h>

#include "crypto/digest.hpp"
#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

constexpr int rsa_bits_min = 2048;
constexpr int rsa_bits_max = 8192;
constexpr int digest_bits_min = 112;  // of security: SHA-224 and better
constexpr int serial_octets_max = 20;

Error wrong(std::string what) { return Error(ErrorCode::invalid_argument, std::move(what)); }

Status judge_key(X509* certificate) {
  EVP_PKEY* key = X509_get0_pubkey(certificate);
  if (key == nullptr) {
    crypto::take_openssl_errors();
    return wrong("its key is of a kind that is not known");
  }
  const int bits = EVP_PKEY_get_bits(key);
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
      if (bits >= rsa_bits_min && bits <= rsa_bits_max) return {};
      return wrong(fmt::format("its RSA key has {} bits; {} to {} are taken", bits, rsa_bits_min, rsa_bits_max));
    case EVP_PKEY_EC: {
      std::array<char, 80> name{};
      std::size_t size = 0;
      EVP_PKEY_get_group_name(key, name.data(), name.size(), &size);
      crypto::take_openssl_errors();
      const std::string_view curve(name.data(), size);
      if (curve == "prime256v1" || curve == "secp384r1" || curve == "secp521r1") return {};
      return wrong(fmt::format("its key is on the curve {}; P-256, P-384 and P-521 are taken", printable(curve)));
    }
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
      return {};
    default:
      return wrong("its key is neither RSA nor ECDSA nor EdDSA");
  }
}

Status judge_time(const CertificateInfo& info, Instant now) {
  if (now < info.not_before) return wrong("it is not valid yet: from " + to_rfc3339(info.not_before));
  if (now >= info.not_after) return wrong("it expired at " + to_rfc3339(info.not_after));
  return {};
}

std::string key_id(X509* certificate) {
  return crypto::sha256_hex(ByteView(crypto::to_der(X509_get_X509_PUBKEY(certificate), i2d_X509_PUBKEY)));
}

std::string text_of(const X509_NAME* name) {
  const crypto::BioHandle bio = crypto::bio_to_write();
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return crypto::bio_text(bio.get());
}

}  // namespace

Result<AuthorityInfo> read_authority(std::string_view pem, Instant now) {
  const auto certificate = parse_pem(pem);
  if (!certificate) return certificate.error();
  if (certificates_in(pem).size() != 1)
    return wrong("there is more than one certificate in it: register each authority that issued devices' certificates");
  X509* c = certificate->get();
  const Bytes der = crypto::to_der(c, i2d_X509);
  if (der.size() > authority_der_bytes_max)
    return wrong(fmt::format("it has {} bytes; at most {} are taken", der.size(), authority_der_bytes_max));
  auto info = read_certificate_der(der);
  if (!info) return info.error();
  AuthorityInfo out;
  out.certificate = std::move(*info);
  out.pem = pem_of_der(der);
  out.subject = text_of(X509_get_subject_name(c));
  out.key_id = key_id(c);
  if (out.subject.empty()) return wrong("its subject is empty");
  if (!out.certificate.is_authority)
    return wrong("it is no authority's: basicConstraints does not say CA:TRUE, or its keyUsage lacks keyCertSign");
  const std::uint32_t usage = X509_get_key_usage(c);  // all bits when there is no such extension
  if ((usage & KU_KEY_CERT_SIGN) == 0) return wrong("its keyUsage lacks keyCertSign");
  out.signs_crl = (usage & KU_CRL_SIGN) != 0;
  if (X509_check_purpose(c, X509_PURPOSE_SSL_CLIENT, 1) != 1)
    return wrong("it may not issue certificates of TLS clients (extended key usage)");
  if (const Status good = judge_time(out.certificate, now); !good) return good.error();
  if (const Status good = judge_key(c); !good) return good.error();
  return out;
}

Result<std::string> key_id_of(std::string_view certificate_pem) {
  const auto certificate = parse_pem(certificate_pem);
  if (!certificate) return certificate.error();
  return key_id(certificate->get());
}

Result<CertificateInfo> read_device_certificate(std::string_view pem, Instant now) {
  const auto certificate = parse_pem(pem);
  if (!certificate) return certificate.error();
  X509* c = certificate->get();
  auto info = read_certificate(pem);
  if (!info) return info.error();
  if (info->is_authority) return wrong("it is an authority's certificate, not a device's");
  if (X509_check_purpose(c, X509_PURPOSE_SSL_CLIENT, 0) != 1)
    return wrong("it is not for TLS clients: its keyUsage or extended key usage excludes it");
  if (const Status good = judge_time(*info, now); !good) return good.error();
  if (const Status good = judge_key(c); !good) return good.error();
  int bits = 0;
  if (X509_get_signature_info(c, nullptr, nullptr, &bits, nullptr) != 1 || bits < digest_bits_min) {
    crypto::take_openssl_errors();
    return wrong("it is signed with a digest that is too weak (SHA-1, MD5): TLS refuses it");
  }
  const ASN1_INTEGER* serial = X509_get0_serialNumber(c);
  if ((ASN1_STRING_type(serial) & V_ASN1_NEG) != 0 || info->serial.size() > 2 * serial_octets_max)
    return wrong("its serial number is negative or longer than 20 octets: a CRL could not name it");
  if (!probe_thing(*info).empty()) return wrong("it has a probe's name, which this installation alone gives");
  return info;
}

}  // namespace fleetward::pki
