#include "access/tables.hpp"

namespace fleetward::access {

std::optional<fleet::HoldLevel> strictest(const fleet::AccessRecord& record) {
  std::optional<fleet::HoldLevel> level;
  for (const fleet::Hold& hold : record.holds) {
    if (!level || hold.level > *level) level = hold.level;
  }
  return level;
}

bool HoldTable::apply(const fleet::AccessRecord& record) {
  const auto [entry, first] = records_.try_emplace(record.thing);
  if (!first && record.version <= entry->second.version) return false;
  held_ -= entry->second.holds.empty() ? 0 : 1;
  entry->second = record;
  held_ += record.holds.empty() ? 0 : 1;
  return true;
}

const fleet::AccessRecord* HoldTable::find(std::string_view thing) const {
  const auto found = records_.find(std::string(thing));
  return found == records_.end() ? nullptr : &found->second;
}

std::optional<fleet::HoldLevel> HoldTable::level(std::string_view thing) const {
  const fleet::AccessRecord* record = find(thing);
  return record == nullptr ? std::nullopt : strictest(*record);
}

bool CertificateTable::apply(const fleet::CertificateRecord& record) {
  const auto [entry, first] = records_.try_emplace(record.fingerprint);
  if (!first && record.version <= entry->second.version) return false;
  entry->second = record;
  return true;
}

bool CertificateTable::apply(const fleet::AuthorityRecord& record) {
  const auto [entry, first] = authorities_.try_emplace(record.fingerprint);
  if (!first && record.version <= entry->second.version) return false;
  entry->second = record;
  return true;
}

const fleet::CertificateRecord* CertificateTable::find(std::string_view fingerprint) const {
  const auto found = records_.find(std::string(fingerprint));
  return found == records_.end() ? nullptr : &found->second;
}

std::string_view to_string(Admission admission) {
  switch (admission) {
    case Admission::admitted:
      return "admitted";
    case Admission::unknown:
      return "certificate-unknown";
    case Admission::unattached:
      return "certificate-unattached";
    case Admission::inactive:
      return "certificate-inactive";
    case Admission::revoked:
      return "certificate-revoked";
    case Admission::expired:
      return "certificate-expired";
    case Admission::authority_inactive:
      return "authority-inactive";
  }
  return "certificate-unknown";
}

Admission CertificateTable::admit(const fleet::CertificateRecord* certificate, Instant now) const {
  if (certificate == nullptr) return Admission::unknown;
  switch (certificate->status) {
    case fleet::CertificateStatus::revoked:
      return Admission::revoked;
    case fleet::CertificateStatus::inactive:
    case fleet::CertificateStatus::pending_activation:
      return Admission::inactive;
    case fleet::CertificateStatus::active:
      break;
  }
  if (now >= certificate->not_after) return Admission::expired;
  // One that was taken in is no better than its authority, whatever other chain of trust it may have shown.
  if (certificate->registered) {
    const auto authority = authorities_.find(certificate->issuer);
    if (authority == authorities_.end() || authority->second.status != fleet::AuthorityStatus::active)
      return Admission::authority_inactive;
  }
  return certificate->thing.empty() ? Admission::unattached : Admission::admitted;
}

}  // namespace fleetward::access
