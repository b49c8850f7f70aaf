#include "pki/crl_view.hpp"

#include <openssl/evp.h>
#include <openssl/objects.h>

#include <algorithm>
#include <array>

#include "pki/der_reader.hpp"
#include "pki/openssl_time.hpp"

namespace fleetward::pki {
namespace {

// id-ce (2.5.29) and one more octet.
enum Known : std::uint8_t {
  crl_number = 20,
  reason_code = 21,
  delta_indicator = 27,
  distribution_point = 28,
  certificate_issuer = 29,
};
std::optional<std::uint8_t> known_of(ByteView oid) {
  if (oid.size() != 3 || oid[0] != 0x55 || oid[1] != 0x1D) return std::nullopt;
  return oid[2];
}

Error malformed(std::string_view what) {
  return Error(ErrorCode::invalid_argument, fmt::format("not a CRL in DER: {}", what));
}
Error not_read(std::string_view what) { return Error(ErrorCode::unsupported, std::string(what)); }

ByteView without_zeros(ByteView octets) {
  while (octets.size() > 1 && octets.front() == 0) octets = octets.subspan(1);
  return octets;
}

Result<RevocationReason> reason_of(ByteView value) {
  der::Reader r(value);
  const auto code = r.take(der::enumerated);
  if (!code || !r.at_end() || code->content.size() != 1) return malformed("a reason code");
  const std::uint8_t n = code->content[0];
  if (n > 10 || n == 7) return malformed("a reason code that there is not");
  return static_cast<RevocationReason>(n);
}

// issuingDistributionPoint (section 5.2.5): what part of the certificates it is about.
Status judge_scope(ByteView value) {
  der::Reader outer(value);
  const auto list = outer.take(der::sequence);
  if (!list || !outer.at_end()) return malformed("issuing distribution point");
  der::Reader r(list->content);
  r.take(der::constructed(0));  // where it is published
  bool only_users = false, only_authorities = false, is_indirect = false, only_attributes = false, some_reasons = false;
  const auto flag = [&r](std::uint8_t n, bool& out) {
    const auto element = r.take(der::primitive(n));
    if (!element) return true;
    const auto value_of = der::boolean_of(element->content);
    out = value_of.value_or(false);
    return value_of.has_value();
  };
  bool is_good = flag(1, only_users) && flag(2, only_authorities);
  some_reasons = r.take(der::primitive(3)).has_value();
  is_good = is_good && flag(4, is_indirect) && flag(5, only_attributes) && r.at_end();
  if (!is_good) return malformed("issuing distribution point");
  if (is_indirect) return not_read("an indirect CRL: give one of the authority's own");
  if (some_reasons) return not_read("a CRL of some reasons only: give the full one");
  if (only_authorities || only_attributes) return not_read("this CRL is not about devices' certificates");
  return {};
}

struct Algorithm {
  const EVP_MD* digest = nullptr;  // none: the key's own (EdDSA)
  int key = NID_undef;
};

Result<Algorithm> algorithm_of(ByteView der) {
  const unsigned char* cursor = der.data();
  const std::unique_ptr<X509_ALGOR, crypto::OpensslFree<X509_ALGOR_free>> parsed(
      d2i_X509_ALGOR(nullptr, &cursor, static_cast<long>(der.size())));
  if (!parsed || cursor != der.data() + der.size()) {
    crypto::take_openssl_errors();
    return malformed("signature algorithm");
  }
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, parsed.get());
  const int nid = OBJ_obj2nid(object);
  int digest = NID_undef;
  Algorithm out;
  if (nid == NID_undef || OBJ_find_sigid_algs(nid, &digest, &out.key) != 1)
    return not_read("the CRL's signature algorithm is not known");
  static constexpr std::array good{NID_sha256, NID_sha384, NID_sha512};
  const bool is_eddsa = digest == NID_undef && (out.key == NID_ED25519 || out.key == NID_ED448);
  if (!is_eddsa && std::find(good.begin(), good.end(), digest) == good.end())
    return not_read(fmt::format("the CRL is signed with {}, which is too weak or not supported", OBJ_nid2sn(nid)));
  if (!is_eddsa) out.digest = EVP_get_digestbynid(digest);
  return out;
}

bool is_of(int algorithm_key, EVP_PKEY* key) { return EVP_PKEY_get_base_id(key) == algorithm_key; }

Status verify(X509* issuer, ByteView algorithm_der, ByteView tbs, ByteView signature) {
  const auto algorithm = algorithm_of(algorithm_der);
  if (!algorithm) return algorithm.error();
  EVP_PKEY* key = X509_get0_pubkey(issuer);
  const Error wrong(ErrorCode::permission_denied, "the CRL is not signed by the issuer");
  if (key == nullptr || !is_of(algorithm->key, key)) return wrong;
  const crypto::DigestContextHandle context(EVP_MD_CTX_new());
  const bool is_good = EVP_DigestVerifyInit(context.get(), nullptr, algorithm->digest, nullptr, key) == 1 &&
                       EVP_DigestVerify(context.get(), signature.data(), signature.size(), tbs.data(), tbs.size()) == 1;
  crypto::take_openssl_errors();
  return is_good ? Status() : Status(wrong);
}

// Name and key usage (section 6.3.3 (f)).
Status judge_issuer(X509* issuer, ByteView name_der) {
  const unsigned char* cursor = name_der.data();
  const crypto::NameHandle name(d2i_X509_NAME(nullptr, &cursor, static_cast<long>(name_der.size())));
  if (!name || cursor != name_der.data() + name_der.size()) {
    crypto::take_openssl_errors();
    return malformed("issuer");
  }
  if (X509_NAME_cmp(name.get(), X509_get_subject_name(issuer)) != 0)
    return Error(ErrorCode::permission_denied, "the CRL is of an authority with another name");
  if ((X509_get_key_usage(issuer) & KU_CRL_SIGN) == 0)
    return Error(ErrorCode::permission_denied, "the authority's key usage does not let it sign CRLs");
  return {};
}

}  // namespace

Result<CrlView::Raw> CrlView::read_entry(ByteView whole_entry, bool may_have_extensions) {
  der::Reader r(whole_entry);
  const auto serial = r.take(der::integer_tag);
  if (!serial || !der::is_integer(serial->content)) return malformed("a serial number");
  const auto date = r.any();
  const auto at = date ? der::time_of(*date) : std::nullopt;
  if (!at) return malformed("a revocation date");
  Raw raw{{without_zeros(serial->content), *at, RevocationReason::unspecified}, true};
  raw.is_usable = serial->content[0] < 0x80 && raw.entry.serial.size() <= der::serial_bytes_max;
  if (r.at_end()) return raw;
  const auto list = r.take(der::sequence);
  if (!list || !r.at_end() || list->content.empty() || !may_have_extensions) return malformed("an entry");
  der::Reader extensions(list->content);
  bool has_reason = false;
  while (!extensions.at_end()) {
    const auto extension = der::take_extension(extensions);
    if (!extension) return malformed("an entry's extension");
    const auto known = known_of(extension->oid);
    if (known == reason_code) {
      const auto reason = reason_of(extension->value);
      if (!reason) return reason.error();
      if (std::exchange(has_reason, true)) return malformed("two reason codes");
      raw.entry.reason = *reason;
    } else if (known == certificate_issuer || extension->is_critical) {
      return not_read("an entry has a critical extension that is not known, so the whole CRL must not be used");
    }
  }
  return raw;
}

Status CrlView::walk(bool has_extensions) {
  der::Reader r(list_);
  while (!r.at_end()) {
    const auto whole = r.take(der::sequence);
    if (!whole) return malformed("the list of entries");
    const auto raw = read_entry(whole->content, has_extensions);
    if (!raw) return raw.error();
    ++(raw->is_usable ? size_ : unusable_);
  }
  return {};
}

std::optional<CrlEntry> CrlView::entry_at(std::size_t& offset) const {
  der::Reader r(list_.subspan(offset));
  while (const auto whole = r.take(der::sequence)) {
    offset += whole->whole.size();
    const auto raw = read_entry(whole->content, true);
    if (raw && raw->is_usable) return raw->entry;
  }
  return std::nullopt;
}

Status CrlView::read_extensions(ByteView content) {
  der::Reader outer(content);
  const auto list = outer.take(der::sequence);
  if (!list || !outer.at_end() || list->content.empty()) return malformed("extensions");
  der::Reader r(list->content);
  while (!r.at_end()) {
    const auto extension = der::take_extension(r);
    if (!extension) return malformed("an extension");
    const auto known = known_of(extension->oid);
    if (known == crl_number) {
      der::Reader value(extension->value);
      const auto number = value.take(der::integer_tag);
      const bool is_good = number && value.at_end() && der::is_integer(number->content) && number->content[0] < 0x80 &&
                           without_zeros(number->content).size() <= der::serial_bytes_max && number_.empty();
      if (!is_good) return malformed("CRL number");
      number_ = to_hex(without_zeros(number->content));
    } else if (known == delta_indicator) {
      return not_read("a delta CRL: give the full one");
    } else if (known == distribution_point) {
      if (const Status judged = judge_scope(extension->value); !judged) return judged;
    } else if (extension->is_critical) {
      return not_read("the CRL has a critical extension that is not known, so it must not be used");
    }
  }
  return {};
}

Status CrlView::read_list(ByteView tbs) {
  der::Reader r(tbs);
  const auto version = r.take(der::integer_tag);
  if (version && (version->content.size() != 1 || version->content[0] != 1)) return malformed("version");
  const auto algorithm = r.take(der::sequence);
  const auto issuer = r.take(der::sequence);
  const auto from = r.any();
  const auto to = r.any();
  if (!algorithm || !issuer || !from) return malformed("its head");
  const auto this_update = der::time_of(*from);
  if (!this_update) return malformed("thisUpdate");
  const auto next_update = to ? der::time_of(*to) : std::nullopt;
  if (!next_update) return malformed("it has no nextUpdate, which RFC 5280 asks for");
  issuer_ = issuer->whole;
  algorithm_ = algorithm->whole;
  this_update_ = *this_update;
  next_update_ = *next_update;
  if (const auto list = r.take(der::sequence)) list_ = list->content;
  const auto extensions = r.take(der::constructed(0));
  if (!r.at_end() || (extensions && !version)) return malformed("what follows its entries");
  if (extensions) {
    if (const Status read = read_extensions(extensions->content); !read) return read;
  }
  return walk(version.has_value());
}

Result<CrlView> CrlView::open(ByteView der, std::string_view issuer_pem) {
  if (der.size() > crl_bytes_max)
    return Error(ErrorCode::resource_exhausted,
                 fmt::format("the CRL has {} bytes, over the limit of {}", der.size(), crl_bytes_max));
  const auto issuer = parse_pem(issuer_pem);
  if (!issuer) return issuer.error().with_context("issuer");
  der::Reader outer(der);
  const auto whole = outer.take(der::sequence);
  if (!whole || !outer.at_end()) return malformed("its frame");
  der::Reader r(whole->content);
  const auto tbs = r.take(der::sequence);
  const auto algorithm = r.take(der::sequence);
  const auto signature = r.take(der::bit_string);
  if (!tbs || !algorithm || !signature || !r.at_end() || signature->content.size() < 2 || signature->content[0] != 0)
    return malformed("its frame");
  CrlView view;
  if (const Status read = view.read_list(tbs->content); !read) return read.error();
  if (!std::equal(view.algorithm_.begin(), view.algorithm_.end(), algorithm->whole.begin(), algorithm->whole.end()))
    return malformed("two different signature algorithms");
  if (const Status judged = judge_issuer(issuer->get(), view.issuer_); !judged) return judged.error();
  const Status verified = verify(issuer->get(), view.algorithm_, tbs->whole, signature->content.subspan(1));
  if (!verified) return verified.error();
  return view;
}

Result<std::optional<Bytes>> decode_crl_pem(ByteView file) {
  static constexpr std::string_view begin = "-----BEGIN X509 CRL-----", end = "-----END X509 CRL-----";
  if (!file.empty() && file.front() == der::sequence) return std::optional<Bytes>();
  const std::string_view text = as_text(file);
  const std::size_t start = text.find(begin);
  const std::size_t stop = start == std::string_view::npos ? start : text.find(end, start);
  if (stop == std::string_view::npos)
    return Error(ErrorCode::invalid_argument, "neither DER nor PEM of a CRL (BEGIN X509 CRL)");
  const std::string_view body = text.substr(start + begin.size(), stop - start - begin.size());
  if (body.size() > 2 * crl_bytes_max) return Error(ErrorCode::resource_exhausted, "the CRL is too large");
  Bytes out(body.size() / 4 * 3 + 3);
  const std::unique_ptr<EVP_ENCODE_CTX, crypto::OpensslFree<EVP_ENCODE_CTX_free>> context(EVP_ENCODE_CTX_new());
  EVP_DecodeInit(context.get());
  int written = 0, last = 0;
  const auto* from = reinterpret_cast<const unsigned char*>(body.data());
  const bool is_good =
      EVP_DecodeUpdate(context.get(), out.data(), &written, from, static_cast<int>(body.size())) >= 0 &&
      EVP_DecodeFinal(context.get(), out.data() + written, &last) == 1;
  crypto::take_openssl_errors();
  if (!is_good) return Error(ErrorCode::invalid_argument, "the PEM of the CRL is not base64");
  out.resize(static_cast<std::size_t>(written) + static_cast<std::size_t>(last));
  return std::optional(std::move(out));
}

bool is_lower_number(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

}  // namespace fleetward::pki
