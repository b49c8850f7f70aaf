#include "pki/certificate.hpp"

#include <openssl/pem.h>

#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

using crypto::CertHandle;

constexpr Millis backdated{5 * 60'000};
constexpr std::size_t names_max = 64;
constexpr std::string_view thing_prefix = "urn:fleetward:thing:";
constexpr std::string_view probe_prefix = "urn:fleetward:probe:";

// In UTF-8 whatever the certificate's string type is; empty when it is absent or holds a NUL, with which C programs and
// we would read different names.
std::string common_name_of(const X509_NAME* name) {
  const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (at < 0) return {};
  unsigned char* raw = nullptr;
  const int size = ASN1_STRING_to_UTF8(&raw, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (size < 0) {
    crypto::take_openssl_errors();
    return {};
  }
  std::string text(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(size));
  OPENSSL_free(raw);
  return text.find('\0') == std::string::npos ? text : std::string();
}

std::string name_text(const X509_NAME* name) {
  const crypto::BioHandle bio = crypto::bio_to_write();
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  return crypto::bio_text(bio.get());
}

std::vector<std::string> uris_of(const X509* certificate) {
  std::vector<std::string> out;
  auto* names = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names) && out.size() < names_max; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const ASN1_STRING* uri = name->d.uniformResourceIdentifier;
    out.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                     static_cast<std::size_t>(ASN1_STRING_length(uri)));
  }
  GENERAL_NAMES_free(names);
  return out;
}

Result<CertificateInfo> info_of(X509* certificate) {
  CertificateInfo info;
  const Bytes der = crypto::to_der(certificate, i2d_X509);
  info.fingerprint = crypto::sha256_hex(ByteView(der));
  info.serial = serial_hex(X509_get0_serialNumber(certificate));
  info.common_name = common_name_of(X509_get_subject_name(certificate));
  info.issuer_name = name_text(X509_get_issuer_name(certificate));
  info.uris = uris_of(certificate);
  info.is_authority = X509_check_ca(certificate) == 1;
  const auto from = from_asn1(X509_get0_notBefore(certificate));
  const auto to = from_asn1(X509_get0_notAfter(certificate));
  if (!from) return from.error();
  if (!to) return to.error();
  info.not_before = *from;
  info.not_after = *to;
  return info;
}

crypto::IntegerHandle random_serial(crypto::Random& random) {
  Bytes bytes = random.bytes(16);
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0x7F) | 0x40);  // positive, and always as long
  const crypto::BignumHandle number(BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr));
  return crypto::IntegerHandle(BN_to_ASN1_INTEGER(number.get(), nullptr));
}

// A name longer than a common name may be (ub-common-name, RFC 5280 appendix A.1) stands in subjectAltName alone.
void set_name(X509_NAME* name, std::string_view common_name) {
  constexpr std::size_t common_name_characters_max = 64;
  const auto put = [name](const char* field, std::string_view text) {
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), -1, 0);
  };
  put("O", "Fleetward");
  if (common_name.size() <= common_name_characters_max) put("CN", common_name);
}

// What a certificate is made of before it is signed.
struct Draft {
  CertHandle certificate{X509_new()};
  X509* issuer = nullptr;  // itself for a root
  std::string problem;

  void extension(int nid, const std::string& value) {
    X509V3_CTX context{};
    X509V3_set_ctx(&context, issuer, certificate.get(), nullptr, nullptr, 0);
    const crypto::CertExtensionHandle made(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
    if (!made || X509_add_ext(certificate.get(), made.get(), -1) != 1) problem = crypto::take_openssl_errors();
  }

  Result<std::string> sign(const crypto::PrivateKey& key) {
    if (!problem.empty()) return Error(ErrorCode::internal, "certificate extension: " + problem);
    if (X509_sign(certificate.get(), key.native(), EVP_sha256()) == 0)
      return crypto::openssl_error(ErrorCode::internal, "sign a certificate");
    const crypto::BioHandle bio = crypto::bio_to_write();
    PEM_write_bio_X509(bio.get(), certificate.get());
    return crypto::bio_text(bio.get());
  }
};

Draft draft_of(const crypto::PublicKey& key, std::string_view name, X509* issuer, Instant now, Instant until,
               crypto::Random& random) {
  Draft draft;
  X509* c = draft.certificate.get();
  X509_set_version(c, X509_VERSION_3);
  X509_set_serialNumber(c, random_serial(random).get());
  X509_set1_notBefore(c, to_asn1(now - backdated).get());
  X509_set1_notAfter(c, to_asn1(until).get());
  X509_set_pubkey(c, key.native());
  set_name(X509_get_subject_name(c), name);
  draft.issuer = issuer == nullptr ? c : issuer;
  X509_set_issuer_name(c, X509_get_subject_name(draft.issuer));
  draft.extension(NID_subject_key_identifier, "hash");
  draft.extension(NID_authority_key_identifier, "keyid:always");
  return draft;
}

std::string alternative_names(const LeafRequest& request) {
  std::string out;
  const auto put = [&out](std::string_view kind, const std::vector<std::string>& names) {
    for (const std::string& name : names) out += fmt::format("{}{}:{}", out.empty() ? "" : ",", kind, name);
  };
  put("DNS", request.dns_names);
  put("IP", request.ip_addresses);
  put("URI", request.uris);
  return out;
}

// The extension texts are a small language of OpenSSL's: what would mean something in it is refused.
bool is_plain(const LeafRequest& r) {
  for (const auto* list : {&r.dns_names, &r.ip_addresses, &r.uris}) {
    for (const std::string& name : *list) {
      if (name.empty() || name.size() > 512 || name.find_first_of(",;\r\n\\\"@ ") != std::string::npos) return false;
    }
  }
  return !r.common_name.empty() && r.common_name.size() <= 128;
}

void add_purpose(Draft& draft, const LeafRequest& request) {
  draft.extension(NID_basic_constraints, "critical,CA:FALSE");
  draft.extension(NID_key_usage, "critical,digitalSignature");
  switch (request.purpose) {
    case Purpose::device:
    case Purpose::probe:
      draft.extension(NID_ext_key_usage, "clientAuth");
      break;
    case Purpose::server:
      draft.extension(NID_ext_key_usage, "serverAuth");
      break;
    case Purpose::responder:
      draft.extension(NID_ext_key_usage, "OCSPSigning");
      draft.extension(NID_id_pkix_OCSP_noCheck, "NULL");
      break;
  }
  const std::string names = alternative_names(request);
  if (!names.empty()) draft.extension(NID_subject_alt_name, names);
  if (!request.crl_url.empty()) draft.extension(NID_crl_distribution_points, "URI:" + request.crl_url);
  if (!request.ocsp_url.empty()) draft.extension(NID_info_access, "OCSP;URI:" + request.ocsp_url);
}

}  // namespace

Result<CertificateInfo> read_certificate(std::string_view pem) {
  const auto certificate = parse_pem(pem);
  if (!certificate) return certificate.error();
  return info_of(certificate->get());
}

Result<CertificateInfo> read_certificate_der(ByteView der) {
  if (der.size() > pem_bytes_max) return Error(ErrorCode::resource_exhausted, "the DER is too long for a certificate");
  const unsigned char* cursor = der.data();
  const CertHandle certificate(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  if (!certificate || cursor != der.data() + der.size()) {
    crypto::take_openssl_errors();
    return Error(ErrorCode::invalid_argument, "not a certificate in DER");
  }
  return info_of(certificate.get());
}

std::vector<std::string_view> certificates_in(std::string_view text) {
  constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
  std::vector<std::string_view> all;
  for (std::size_t at = text.find(begin); at != std::string_view::npos;) {
    const std::size_t next = text.find(begin, at + begin.size());
    all.push_back(text.substr(at, next - at));
    at = next;
  }
  return all;
}

std::string pem_of_der(ByteView der) {
  const std::string text = to_base64(der);
  std::string out = "-----BEGIN CERTIFICATE-----\n";
  for (std::size_t i = 0; i < text.size(); i += 64) out += text.substr(i, 64) + "\n";
  return out + "-----END CERTIFICATE-----\n";
}

Result<Bytes> der_of_pem(std::string_view pem) {
  const auto certificate = parse_pem(pem);
  if (!certificate) return certificate.error();
  return crypto::to_der(certificate->get(), i2d_X509);
}

Result<std::string> make_root(const crypto::PrivateKey& key, std::string_view name, Instant now, Millis lifetime,
                              crypto::Random& random) {
  Draft draft = draft_of(key.public_key(), name, nullptr, now, now + lifetime, random);
  draft.extension(NID_basic_constraints, "critical,CA:TRUE,pathlen:1");
  draft.extension(NID_key_usage, "critical,keyCertSign,cRLSign");
  return draft.sign(key);
}

Result<std::string> make_issuing(const Issuer& root, const crypto::PublicKey& key, std::string_view name, Instant now,
                                 Millis lifetime, crypto::Random& random) {
  const auto issuer = parse_pem(root.certificate_pem);
  if (!issuer) return issuer.error();
  Draft draft = draft_of(key, name, issuer->get(), now, now + lifetime, random);
  draft.extension(NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  draft.extension(NID_key_usage, "critical,keyCertSign,cRLSign");
  return draft.sign(root.key);
}

Result<std::string> issue(const Issuer& issuer, const crypto::PublicKey& subject_key, const LeafRequest& request,
                          Instant now, crypto::Random& random) {
  if (!is_plain(request))
    return Error(ErrorCode::invalid_argument, "a name in the certificate has characters that it may not have");
  const auto signer = parse_pem(issuer.certificate_pem);
  if (!signer) return signer.error();
  const auto issuer_end = from_asn1(X509_get0_notAfter(signer->get()));
  if (!issuer_end) return issuer_end.error();
  const Millis lifetime =
      request.purpose == Purpose::probe ? std::min(request.lifetime, probe_lifetime_max - backdated) : request.lifetime;
  Draft draft =
      draft_of(subject_key, request.common_name, signer->get(), now, std::min(now + lifetime, *issuer_end), random);
  add_purpose(draft, request);
  return draft.sign(issuer.key);
}

std::string thing_uri(std::string_view thing) { return std::string(thing_prefix) + std::string(thing); }
std::string probe_uri(std::string_view thing) { return std::string(probe_prefix) + std::string(thing); }

std::string probe_thing(const CertificateInfo& info) {
  if (info.not_after - info.not_before > probe_lifetime_max) return {};
  for (const std::string& uri : info.uris) {
    if (uri.starts_with(probe_prefix)) return uri.substr(probe_prefix.size());
  }
  return {};
}

Result<std::string> make_signing_request(const crypto::PrivateKey& key, std::string_view common_name) {
  const crypto::CertRequestHandle request(X509_REQ_new());
  set_name(X509_REQ_get_subject_name(request.get()), common_name);
  X509_REQ_set_pubkey(request.get(), key.native());
  if (X509_REQ_sign(request.get(), key.native(), EVP_sha256()) == 0)
    return crypto::openssl_error(ErrorCode::internal, "sign a request");
  const crypto::BioHandle bio = crypto::bio_to_write();
  PEM_write_bio_X509_REQ(bio.get(), request.get());
  return crypto::bio_text(bio.get());
}

Result<crypto::PublicKey> read_signing_request(std::string_view pem) {
  if (pem.size() > pem_bytes_max)
    return Error(ErrorCode::resource_exhausted, "the PEM text is too long for a signing request");
  const crypto::BioHandle bio = crypto::bio_over(as_bytes(pem));
  const crypto::CertRequestHandle request(PEM_read_bio_X509_REQ(bio.get(), nullptr, nullptr, nullptr));
  if (!request) {
    crypto::take_openssl_errors();
    return Error(ErrorCode::invalid_argument, "not a certificate signing request in PEM");
  }
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || X509_REQ_verify(request.get(), key) != 1) {
    crypto::take_openssl_errors();
    return Error(ErrorCode::invalid_argument, "the signing request's own signature is wrong");
  }
  return crypto::PublicKey::from_der(crypto::to_der(key, i2d_PUBKEY));
}

bool is_certificate_for(std::string_view certificate_pem, const std::string& host) {
  const auto certificate = parse_pem(certificate_pem);
  if (!certificate) return false;
  const bool good = X509_check_ip_asc(certificate->get(), host.c_str(), 0) == 1 ||
                    X509_check_host(certificate->get(), host.data(), host.size(), 0, nullptr) == 1;
  crypto::take_openssl_errors();
  return good;
}

bool is_issued_by(std::string_view certificate_pem, std::string_view issuer_pem) {
  const auto certificate = parse_pem(certificate_pem);
  const auto issuer = parse_pem(issuer_pem);
  if (!certificate || !issuer) return false;
  const bool good = X509_check_issued(issuer->get(), certificate->get()) == X509_V_OK &&
                    X509_verify(certificate->get(), X509_get0_pubkey(issuer->get())) == 1;
  crypto::take_openssl_errors();
  return good;
}

}  // namespace fleetward::pki
