#include "pki/crl.hpp"

#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

constexpr std::size_t crl_bytes_max = 256 << 20;
constexpr std::size_t serial_bytes_max = 20;  // RFC 5280 section 4.1.2.2
constexpr std::size_t entry_bytes_usual = 52;

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

void put_digits(Bytes& out, unsigned number, int count) {
  for (unsigned unit = count == 4 ? 1000 : 10; unit > 0; unit /= 10)
    out.push_back(static_cast<std::uint8_t>('0' + number / unit % 10));
}

// UTCTime until 2049, GeneralizedTime from then on (RFC 5280 section 5.1.2.4).
void put_time(Bytes& out, Instant t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(t - day));
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()));
  const bool is_short = year >= 1950 && year < 2050;
  put_header(out, is_short ? 0x17 : 0x18, is_short ? 13 : 15);
  put_digits(out, is_short ? year % 100 : year, is_short ? 2 : 4);
  put_digits(out, static_cast<unsigned>(date.month()), 2);
  put_digits(out, static_cast<unsigned>(date.day()), 2);
  put_digits(out, static_cast<unsigned>(clock.hours().count()), 2);
  put_digits(out, static_cast<unsigned>(clock.minutes().count()), 2);
  put_digits(out, static_cast<unsigned>(clock.seconds().count()), 2);
  out.push_back('Z');
}

const Bytes& ecdsa_with_sha256() {
  static const Bytes sequence = {0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02};
  return sequence;
}

Bytes extension(std::initializer_list<std::uint8_t> oid, ByteView value) {
  Bytes content = wrap(0x06, Bytes(oid));
  put(content, wrap(0x04, value));
  return wrap(0x30, content);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// INTEGER of a serial number in hex. False when it is none, or longer than one may be.
bool put_serial(Bytes& out, std::string_view hex) {
  while (hex.size() > 1 && hex.front() == '0') hex.remove_prefix(1);
  if (hex.empty() || hex.size() > 2 * serial_bytes_max) return false;
  const bool needs_zero = hex.size() % 2 == 0 && hex_digit(hex.front()) >= 8;  // or it would be negative
  put_header(out, 0x02, (hex.size() + 1) / 2 + (needs_zero ? 1 : 0));
  if (needs_zero) out.push_back(0);
  int high = hex.size() % 2 == 0 ? -1 : 0;
  for (const char c : hex) {
    const int digit = hex_digit(c);
    if (digit < 0) return false;
    if (high >= 0) out.push_back(static_cast<std::uint8_t>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return true;
}

// Written straight into the list: a million entries are a million times some fifty bytes and nothing else.
Status put_entry(Bytes& out, const RevokedEntry& e) {
  const std::size_t start = out.size();
  put_header(out, 0x30, 0);  // an entry is always shorter than 128 bytes, so its length is one byte, set below
  if (!put_serial(out, e.serial))
    return Error(ErrorCode::invalid_argument, fmt::format("'{}' is not a serial number", printable(e.serial, 64)));
  put_time(out, e.at);
  if (e.reason != RevocationReason::unspecified) {
    const std::uint8_t code[] = {0x30, 0x0C, 0x30, 0x0A, 0x06, 0x03, 0x55,
                                 0x1D, 0x15, 0x04, 0x03, 0x0A, 0x01, static_cast<std::uint8_t>(e.reason)};
    put(out, code);
  }
  out[start + 1] = static_cast<std::uint8_t>(out.size() - start - 2);
  return {};
}

Result<Bytes> revoked_list(const std::vector<RevokedEntry>& entries) {
  Bytes content;
  content.reserve(entries.size() * entry_bytes_usual);
  for (const RevokedEntry& e : entries) {
    if (const Status entry = put_entry(content, e); !entry) return entry.error();
  }
  return content;
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
  put_time(content, this_update);
  put_time(content, next_update);
  if (!revoked->empty()) {  // absent rather than empty (RFC 5280 section 5.1.2.6)
    put_header(content, 0x30, revoked->size());
    put(content, *revoked);
  }
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
