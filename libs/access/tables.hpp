// What gateways enforce by: the holds on things, and the certificates that there are. Pure; the owner's thread.
//
// A record that is not newer than what is known of its key is ignored (relays repeat). Memory grows with the fleet's
// size, which the registry bounds.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "fleet/access.hpp"

namespace fleetward::access {

class HoldTable {
 public:
  // True when the record was newer and is now in force.
  bool apply(const fleet::AccessRecord& record);
  // The strictest hold on the thing; none: it is free.
  [[nodiscard]] std::optional<fleet::HoldLevel> level(std::string_view thing) const;
  // The record in force, nullptr without one.
  [[nodiscard]] const fleet::AccessRecord* find(std::string_view thing) const;
  [[nodiscard]] std::size_t held() const { return held_; }
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const auto& [thing, record] : records_) visit(record);
  }

 private:
  std::unordered_map<std::string, fleet::AccessRecord> records_;
  std::size_t held_ = 0;
};

std::optional<fleet::HoldLevel> strictest(const fleet::AccessRecord& record);
// isolate and revoke keep a device out; restrict lets it in for remediation.
inline bool keeps_out(std::optional<fleet::HoldLevel> level) { return level && *level >= fleet::HoldLevel::isolate; }

// Why a certificate does not let its holder in; admitted: it does.
enum class Admission { admitted, unknown, unattached, inactive, revoked, expired, authority_inactive };
std::string_view to_string(Admission admission);

// Certificates, and the authorities of the operator's own that issued some of them.
class CertificateTable {
 public:
  bool apply(const fleet::CertificateRecord& record);
  bool apply(const fleet::AuthorityRecord& record);
  [[nodiscard]] const fleet::CertificateRecord* find(std::string_view fingerprint) const;
  // By its record and its authority's; nullptr is a certificate that is not in the table.
  [[nodiscard]] Admission admit(const fleet::CertificateRecord* certificate, Instant now) const;
  [[nodiscard]] std::size_t size() const { return records_.size(); }
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const auto& [fingerprint, record] : records_) visit(record);
  }
  // By fingerprint.
  [[nodiscard]] const std::map<std::string, fleet::AuthorityRecord, std::less<>>& authorities() const {
    return authorities_;
  }

 private:
  std::unordered_map<std::string, fleet::CertificateRecord> records_;
  std::map<std::string, fleet::AuthorityRecord, std::less<>> authorities_;
};

}  // namespace fleetward::access
