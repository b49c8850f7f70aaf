// Looks at a thing's standing as an outsider would: connects to a gateway's public listener with a certificate of
// minutes for the same thing, and reads what is really served as CRL and OCSP. Never our own tables.
#pragma once

#include <string>

#include "async/scope.hpp"
#include "fleet/action.hpp"
#include "fleet/gateway_events.hpp"
#include "net/connection.hpp"
#include "services/responder/finding.hpp"

namespace fleetward::responder {

struct ProbeIdentity {
  std::string certificate_pem;
  std::string key_pem;
};

// A proof when the gateway refuses the thing (0x8A), holds no session of it, and has applied at least that version. A
// thing that is only restricted is let in: then the version alone counts.
async::Task<Finding> probe_gateway(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway, ProbeIdentity identity,
                                   std::string ca_pem, std::string thing, fleet::HoldLevel level,
                                   std::int64_t access_version, Millis limit);
// What is wrong with it when a thing that is free is not let in; empty: it is.
async::Task<std::string> probe_for_free_thing(async::Scheduler& scheduler, fleet::GatewayHeartbeat gateway,
                                              ProbeIdentity identity, std::string ca_pem, std::string thing,
                                              Millis limit);

struct RevokedCertificate {
  std::string pem;
  std::string serial;
};
// A proof when the CRL that is served there is signed by the issuer, in force, and holds every certificate.
async::Task<Finding> look_at_crl(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                                 std::vector<RevokedCertificate> certificates, Millis limit);
// A proof when OCSP answers `revoked` for the certificate.
async::Task<Finding> ask_ocsp(async::Scheduler& scheduler, std::string url, std::string issuer_pem,
                              RevokedCertificate certificate, Millis limit);

}  // namespace fleetward::responder
