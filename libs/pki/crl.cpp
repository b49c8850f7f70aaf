#include "pki/crl.hpp"

#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

constexpr std::size_t crl_bytes_max = 256 << 20;

void put(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

// Tag and definite length (X.690 section 8.1.3).
void put_header(Bytes& out, std::uint8_t tag, std::size_t length) {
  out.push_back(tag);
  if (length < 128) {
    out.push_back(static_cast<std::uint8_t>(length));
    return;
  }
  Bytes big;
  for (std::size_t n = length; n > 0; n >>= 8) big.insert(big.begin(), static_cast<std::uint8_t>(n));
  out.push_back(static_cast<std::uint8_t>(0x80 | big.size()));
  put(out, big);
}

Bytes wrap(std::uint8_t tag, ByteView content) {
  Bytes out;
  out.reserve(content.size() + 6);
  put_header(out, tag, content.size());
  put(out, content);
  return out;
}

// INTEGER of a non-negative number given big endian.
Bytes integer(ByteView big_endian) {
  Bytes content(big_endian.begin(), big_endian.end());
  while (content.size() > 1 && content[0] == 0 && content[1] < 0x80) content.erase(content.begin());
  if (content.empty() || content[0] >= 0x80) content.insert(content.begin(), 0);
  return wrap(0x02, content);
}

Bytes number_bytes(std::int64_t number) {
  Bytes out;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(number >> shift));
  return out;
}

// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 section 5.1.2.4).
Bytes time(Instant t) { return crypto::to_der(to_asn1(t).get(), i2d_ASN1_TIME); }

const Bytes& ecdsa_with_sha256() {
  static const Bytes sequence = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
  return sequence;
}

Bytes extension(std::initializer_list<std::uint8_t> oid, ByteView value) {
  Bytes content = wrap(0x06, Bytes(oid));
  put(content, wrap(0x04, value));
  return wrap(0x30, content);
}

Result<Bytes> entry_of(const RevokedEntry& e) {
  const auto serial = from_hex(e.serial.size() % 2 == 0 ? e.serial : "0" + e.serial);
  if (!serial) return serial.error().with_context("serial number");
  Bytes content = integer(*serial);
  put(content, time(e.at));
  if (e.reason != RevocationReason::unspecified) {
    const Bytes code = {0x0A, 0x01, static_cast<std::uint8_t>(e.reason)};
    put(content, wrap(0x30, extension({0x55, 0x1D, 0x15}, code)));
  }
  return wrap(0x30, content);
}

Result<Bytes> revoked_list(const std::vector<RevokedEntry>& entries) {
  Bytes content;
  for (const RevokedEntry& e : entries) {
    const auto entry = entry_of(e);
    if (!entry) return entry.error();
    put(content, *entry);
  }
  return content.empty() ? content : wrap(0x30, content);
}

Bytes extensions(X509* issuer, std::int64_t number) {
  const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(issuer);
  const ByteView key_id(ASN1_STRING_get0_data(id), static_cast<std::size_t>(ASN1_STRING_length(id)));
  Bytes list = extension({0x55, 0x1D, 0x23}, wrap(0x30, wrap(0x80, key_id)));
  put(list, extension({0x55, 0x1D, 0x14}, integer(number_bytes(number))));
  return wrap(0xA0, wrap(0x30, list));
}

}  // namespace

Result<Bytes> make_crl(const Issuer& issuer, const std::vector<RevokedEntry>& entries, std::int64_t number,
                       Instant this_update, Instant next_update) {
  const auto certificate = parse_pem(issuer.certificate_pem);
  if (!certificate) return certificate.error();
  const auto revoked = revoked_list(entries);
  if (!revoked) return revoked.error();
  Bytes content = {0x02, 0x01, 0x01};  // v2
  content.reserve(revoked->size() + 1024);
  put(content, ecdsa_with_sha256());
  put(content, crypto::to_der(X509_get_subject_name(certificate->get()), i2d_X509_NAME));
  put(content, time(this_update));
  put(content, time(next_update));
  put(content, *revoked);
  put(content, extensions(certificate->get(), number));
  Bytes list = wrap(0x30, content);
  const auto signature = issuer.key.sign(list);
  if (!signature) return signature.error();
  Bytes bits = {0x00};
  put(bits, *signature);
  put(list, ecdsa_with_sha256());
  put(list, wrap(0x03, bits));
  return wrap(0x30, list);
}

Result<CrlInfo> read_crl(ByteView der, std::string_view issuer_pem) {
  if (der.size() > crl_bytes_max) return Error(ErrorCode::resource_exhausted, "the CRL is too large");
  const unsigned char* cursor = der.data();
  const std::unique_ptr<X509_CRL, crypto::OpensslFree<X509_CRL_free>> crl(
      d2i_X509_CRL(nullptr, &cursor, static_cast<long>(der.size())));
  if (!crl) return crypto::openssl_error(ErrorCode::invalid_argument, "not a CRL in DER");
  const auto issuer = parse_pem(issuer_pem);
  if (!issuer) return issuer.error();
  if (X509_NAME_cmp(X509_CRL_get_issuer(crl.get()), X509_get_subject_name(issuer->get())) != 0 ||
      X509_CRL_verify(crl.get(), X509_get0_pubkey(issuer->get())) != 1) {
    crypto::take_openssl_errors();
    return Error(ErrorCode::permission_denied, "the CRL is not signed by the issuer");
  }
  CrlInfo info;
  const auto from = from_asn1(X509_CRL_get0_lastUpdate(crl.get()));
  const auto to = from_asn1(X509_CRL_get0_nextUpdate(crl.get()));
  if (!from) return from.error();
  if (!to) return to.error();
  info.this_update = *from;
  info.next_update = *to;
  const crypto::IntegerHandle number(
      static_cast<ASN1_INTEGER*>(X509_CRL_get_ext_d2i(crl.get(), NID_crl_number, nullptr, nullptr)));
  if (number) info.number = ASN1_INTEGER_get(number.get());
  STACK_OF(X509_REVOKED)* list = X509_CRL_get_REVOKED(crl.get());
  for (int i = 0; i < sk_X509_REVOKED_num(list); ++i) {
    const X509_REVOKED* r = sk_X509_REVOKED_value(list, i);
    const auto at = from_asn1(X509_REVOKED_get0_revocationDate(r));
    if (!at) return at.error();
    info.revoked.emplace(serial_hex(X509_REVOKED_get0_serialNumber(r)), *at);
  }
  return info;
}

}  // namespace fleetward::pki
