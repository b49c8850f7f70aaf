// Revocation lists of others (RFC 5280 section 5), read where they are: a million entries need no object each.
//
// open() looks at every byte once: signature, form of each entry, and what a list must not be for us (a delta,
// indirect, of some reasons, or with a critical extension that we do not know). After it a walk cannot fail. Pure; a
// view of bytes that outlive it; immutable, so several threads may walk. Limit: crl_bytes_max.
#pragma once

#include <optional>
#include <string>

#include "pki/crl.hpp"

namespace fleetward::pki {

inline constexpr std::size_t crl_bytes_max = 128 << 20;  // some 3 million entries

struct CrlEntry {
  ByteView serial;  // octets without leading zeros; one zero for 0
  Instant at;
  RevocationReason reason = RevocationReason::unspecified;
};

class CrlView {
 public:
  // invalid_argument: it is no CRL in DER; permission_denied: not one of the issuer's (name, key usage, signature);
  // unsupported: a kind that is not read, or an algorithm; resource_exhausted: over the limit.
  static Result<CrlView> open(ByteView der, std::string_view issuer_pem);

  // Its CRL number in hex without leading zeros; empty: it has none (version 1).
  [[nodiscard]] const std::string& number() const { return number_; }
  [[nodiscard]] Instant this_update() const { return this_update_; }
  [[nodiscard]] Instant next_update() const { return next_update_; }
  [[nodiscard]] std::size_t size() const { return size_; }  // entries
  // Entries whose serial number no certificate may have (negative, or over 20 octets): nothing can match them.
  [[nodiscard]] std::size_t unusable() const { return unusable_; }

  // Entries from an offset on, which is 0 at first; entry_at() moves it to the next one. None at the end. What is
  // unusable is passed over.
  [[nodiscard]] std::optional<CrlEntry> entry_at(std::size_t& offset) const;

 private:
  CrlView() = default;
  struct Raw {
    CrlEntry entry;
    bool is_usable = true;
  };
  static Result<Raw> read_entry(ByteView whole_entry, bool may_have_extensions);
  Status read_list(ByteView tbs);
  Status read_extensions(ByteView content);
  Status walk(bool has_extensions);

  ByteView list_;    // the content of revokedCertificates
  ByteView issuer_;  // the name, DER
  ByteView algorithm_;
  std::string number_;
  Instant this_update_, next_update_;
  std::size_t size_ = 0;
  std::size_t unusable_ = 0;
};

// What a file or an answer holds: none, it is DER already; else the DER of the first "X509 CRL" of a PEM text.
// invalid_argument: it is neither.
Result<std::optional<Bytes>> decode_crl_pem(ByteView file);

// Orders numbers in hex as CrlView has them.
bool is_lower_number(std::string_view a, std::string_view b);

}  // namespace fleetward::pki
