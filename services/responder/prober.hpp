// Looks at a thing's standing as an outsider would: connects to a gateway's public listener with a certificate of
// minutes for the same thing, and reads what is really served as CRL and OCSP. Never our own tables.
#pragma once

#include <string>

#include "async/scope.hpp"
#include "fleet/action.hpp"
#include "fleet/gateway_events.hpp"
#include "net/connection.hpp"

namespace fleetward::responder {

// Words of evidence that says the contrary of what an action claims; anything else that is not good may be an outage.
constexpr std::string_view let_through = "the probe was let through: the thing may connect";
constexpr std::string_view session_open = "a session of the thing is still open";
constexpr std::string_view not_in_crl = "that is served does not hold serial";
constexpr std::string_view not_revoked = "OCSP does not answer revoked";
bool contradicts(const fleet::Evidence& evidence);

struct ProbeIdentity {
  std::string certificate_pem;
  std::string key_pem;
};

// Good when the gateway refuses the thing (0x8A), holds no session of it, and has applied at least that version. A
// thing that is only restricted is let in: then the version alone counts.
async::Task<fleet::Evidence> probe_gateway(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway,
                                           ProbeIdentity identity, std::string ca_pem, std::string thing,
                                           fleet::HoldLevel level, std::int64_t access_version, Millis limit);

// Good when the CRL that is served there is signed by the issuer, in force, and holds every certificate.
async::Task<fleet::Evidence> look_at_crl(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                         std::vector<std::string> certificates_pem, Millis limit);
// Good when OCSP answers `revoked` for the certificate.
async::Task<fleet::Evidence> ask_ocsp(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                      std::string certificate_pem, Millis limit);

}  // namespace fleetward::responder
