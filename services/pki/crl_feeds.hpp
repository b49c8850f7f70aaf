// Reads the CRLs of the operator's own authorities, and puts what they say in force.
//
// Each registered authority that says where its CRL is: a file of the folder, looked at several times a second, or an
// http(s) address, asked at the authority's period. What was read is verified (pki::CrlView), must not be older than
// what is in force, and then goes bucket by bucket into the store: matching certificates are revoked or put on hold,
// and the records of that transaction reach the gateways. A look that fails changes nothing, is told (log, metrics, the
// authority's row) and tried again with back-off. An expired CRL is told, and stays in force.
//
// Owns a thread, so that large lists hold nobody up; start() and stop() from another one. Several processes may run it.
// Limits: one list of a file and one of an address at a time in memory, of pki::crl_bytes_max; entries_a_transaction.
#pragma once

#include <memory>
#include <string>

#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::pki_role {

struct CrlFeedsConfig {
  std::string folder;          // of files
  std::string ca_pem;          // whom to trust where an address is https; empty: nobody
  bool allow_private = false;  // addresses that are not of the public internet
  Millis look_every{250};      // at files
  Millis download_limit{120'000};
  Millis retry_min{5'000};
  Millis retry_max = std::chrono::hours(1);
};

class CrlFeeds {
 public:
  CrlFeeds(CrlFeedsConfig config, store::Store& store, metrics::Registry& metrics);
  ~CrlFeeds();

  Status start();
  // Nothing of it runs from then on, whether it ended in time or not.
  void stop(Millis limit);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace fleetward::pki_role
