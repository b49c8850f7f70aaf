#include "pki/crl.hpp"

#include "crypto/digest.hpp"
#include "pki/der.hpp"
#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

constexpr std::size_t crl_bytes_max = 256 << 20;
constexpr std::size_t entry_bytes_usual = 52;            // with a reason
constexpr std::size_t tail_bytes_max = 512;              // extensions and signature
constexpr std::size_t entries_expected_max = 4'000'000;  // room beyond that is made when it is needed

Bytes extensions(X509* issuer, std::int64_t number) {
  const ASN1_OCTET_STRING* id = X509_get0_subject_key_id(issuer);
  const ByteView key_id(ASN1_STRING_get0_data(id), static_cast<std::size_t>(ASN1_STRING_length(id)));
  const Bytes authority = der::wrap(der::sequence, der::wrap(der::primitive(0), key_id));
  Bytes count;
  der::put_number(count, number);
  Bytes list;
  der::put_extension(list, Bytes{0x55, 0x1D, 0x23}, authority);
  der::put_extension(list, Bytes{0x55, 0x1D, 0x14}, count);
  return der::wrap(der::constructed(0), der::wrap(der::sequence, list));
}

}  // namespace

Result<CrlWriter> CrlWriter::begin(const Issuer& issuer, std::int64_t number, Instant this_update, Instant next_update,
                                   std::size_t entries_expected) {
  const auto certificate = parse_pem(issuer.certificate_pem);
  if (!certificate) return certificate.error();
  if (X509_get0_subject_key_id(certificate->get()) == nullptr)
    return Error(ErrorCode::invalid_argument, "the issuer's certificate has no key identifier");
  CrlWriter writer(issuer.key);
  writer.head_ = {0x02, 0x01, 0x01};  // v2
  der::put(writer.head_, der::ecdsa_with_sha256());
  der::put(writer.head_, crypto::to_der(X509_get_subject_name(certificate->get()), i2d_X509_NAME));
  der::put_time(writer.head_, this_update);
  der::put_time(writer.head_, next_update);
  writer.extensions_ = extensions(certificate->get(), number);
  writer.gap_ = writer.head_.size() + 3 * der::header_bytes_max;
  writer.list_.reserve(writer.gap_ + std::min(entries_expected, entries_expected_max) * entry_bytes_usual +
                       tail_bytes_max);
  writer.list_.resize(writer.gap_);
  return writer;
}

Status CrlWriter::add(std::string_view serial, Instant at, RevocationReason reason) {
  const std::size_t start = list_.size();
  der::put_header(list_, der::sequence, 0);  // an entry is always shorter than 128 bytes: its length is set below
  if (!der::put_serial(list_, serial)) {
    list_.resize(start);
    return Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a serial number", printable(serial, 64)));
  }
  der::put_time(list_, at);
  if (reason != RevocationReason::unspecified) {
    const std::uint8_t code[] = {0x30, 0x0C, 0x30, 0x0A, 0x06, 0x03, 0x55,
                                 0x1D, 0x15, 0x04, 0x03, 0x0A, 0x01, static_cast<std::uint8_t>(reason)};
    der::put(list_, code);
  }
  list_[start + 1] = static_cast<std::uint8_t>(list_.size() - start - 2);
  return {};
}

// What stands before the entries is known only now: it goes to the end of the gap that was left for it.
void CrlWriter::put_before(std::size_t& at, ByteView bytes) {
  at -= bytes.size();
  std::copy(bytes.begin(), bytes.end(), list_.begin() + static_cast<std::ptrdiff_t>(at));
}

Result<Bytes> CrlWriter::finish() && {
  std::size_t at = gap_;
  const auto put_header_before = [&](std::size_t length) {
    Bytes header;
    der::put_header(header, der::sequence, length);
    put_before(at, header);
  };
  const std::size_t entries = list_.size() - gap_;
  if (entries > 0) put_header_before(entries);  // absent rather than empty (RFC 5280 section 5.1.2.6)
  put_before(at, head_);
  der::put(list_, extensions_);
  put_header_before(list_.size() - at);
  const auto signature = key_.sign_digest(crypto::sha256(ByteView(list_).subspan(at)));
  if (!signature) return signature.error();
  der::put(list_, der::ecdsa_with_sha256());
  der::put_bits(list_, *signature);
  put_header_before(list_.size() - at);
  list_.erase(list_.begin(), list_.begin() + static_cast<std::ptrdiff_t>(at));
  return std::move(list_);
}

Result<Bytes> make_crl(const Issuer& issuer, const std::vector<RevokedEntry>& entries, std::int64_t number,
                       Instant this_update, Instant next_update) {
  auto writer = CrlWriter::begin(issuer, number, this_update, next_update, entries.size());
  if (!writer) return writer.error();
  for (const RevokedEntry& e : entries) {
    if (const Status added = writer->add(e.serial, e.at, e.reason); !added) return added.error();
  }
  return std::move(*writer).finish();
}

Result<CrlInfo> read_crl(ByteView der, std::string_view issuer_pem) {
  if (der.size() > crl_bytes_max) return Error(ErrorCode::resource_exhausted, "the CRL is too large");
  const unsigned char* cursor = der.data();
  const std::unique_ptr<X509_CRL, crypto::OpensslFree<X509_CRL_free>> crl(
      d2i_X509_CRL(nullptr, &cursor, static_cast<long>(der.size())));
  if (!crl || cursor != der.data() + der.size())
    return crypto::openssl_error(ErrorCode::invalid_argument, "not a CRL in DER");
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
