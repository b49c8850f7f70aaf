// The authority of the targets that have to do with certificates: its keys are new in each process.
#pragma once

#include "crypto/random.hpp"
#include "pki/certificate.hpp"

namespace fleetward::fuzz {

constexpr Instant now{std::chrono::seconds(1'790'000'000)};
constexpr Millis year = std::chrono::hours(24 * 365);

inline pki::Issuer make_issuer(crypto::Random& random) {
  pki::Issuer root{*crypto::PrivateKey::generate(), {}};
  root.certificate_pem = *pki::make_root(root.key, "Root", now, 10 * year, random);
  pki::Issuer issuing{*crypto::PrivateKey::generate(), {}};
  issuing.certificate_pem = *pki::make_issuing(root, issuing.key.public_key(), "Issuing", now, 5 * year, random);
  return issuing;
}

}  // namespace fleetward::fuzz
