// Asks the pki role for a certificate and waits for it: a row in the store, awaited for seconds.
#pragma once

#include "repository/certificate_repository.hpp"

namespace fleetward::repository {

// PEM of the certificate. deadline_exceeded: the authority did not answer (the request stays and may be done later).
async::Task<Result<std::string>> sign(store::Store& store, async::Scheduler& scheduler, SigningRequest request,
                                      Millis limit);

}  // namespace fleetward::repository
