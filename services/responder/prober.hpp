// Looks at a thing's standing as an outsider would: connects to a gateway's public listener with a certificate of
// minutes for the same thing, and reads what is really served as CRL and OCSP. Never our own tables.
#pragma once

#include <string>

#include "async/scope.hpp"
#include "fleet/action.hpp"
#include "fleet/gateway_events.hpp"
#include "net/connection.hpp"

namespace fleetward::responder {

struct ProbeIdentity {
  std::string certificate_pem;
  std::string key_pem;
};

// Good when the gateway refuses the thing (0x8A), holds no session of it, and has applied at least that version.
async::Task<fleet::Evidence> probe_gateway(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway,
                                           ProbeIdentity identity, std::string ca_pem, std::string thing,
                                           std::int64_t access_version, Millis limit);

// Good when the CRL that is served there is signed by the issuer, in force, and holds every certificate.
async::Task<fleet::Evidence> look_at_crl(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                         std::vector<std::string> certificates_pem, Millis limit);
// Good when OCSP answers `revoked` for the certificate.
async::Task<fleet::Evidence> ask_ocsp(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                      std::string certificate_pem, Millis limit);

}  // namespace fleetward::responder
