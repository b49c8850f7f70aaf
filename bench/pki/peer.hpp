// The same work by way of OpenSSL's objects: what we are measured beside. Private to the program.
#pragma once

#include <functional>

#include "pki/ocsp.hpp"

namespace fleetward::bench {

using Add = std::function<void(std::string_view serial, Instant at)>;

// X509_CRL with an X509_REVOKED each, sorted, signed, encoded. `entries` calls back for each, in order.
Bytes openssl_crl(const pki::Issuer& issuer, const std::function<void(const Add&)>& entries, Instant this_update,
                  Instant next_update);

// One answer, "good", by OCSP_basic_sign, from a request that is parsed each time; certificates and key are ready.
class OpensslOcsp {
 public:
  explicit OpensslOcsp(const pki::OcspSigner& signer);
  ~OpensslOcsp();
  [[nodiscard]] Bytes answer(ByteView request_der, Instant now, Millis validity) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fleetward::bench
