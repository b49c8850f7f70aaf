// Which gateways are there, by their heartbeats: the owner of a partition appends a tick whenever one stops or returns,
// so that the partition's clock has that moment (design section 5.3).
//
// Pure; the detector's thread. Holds instances whose lease runs, at most gateways_max: of further ones nothing is
// noticed, and ticks come by silence alone.
#pragma once

#include <map>
#include <string>

#include "fleet/gateway_events.hpp"

namespace fleetward::detector {

class GatewayLeases {
 public:
  static constexpr std::size_t gateways_max = 4096;

  // Whether an instance came, came anew, or took its leave by this.
  bool hear(const fleet::GatewayHeartbeat& heartbeat, Instant now);
  // Whether a lease has ended; it is told once.
  bool lapse(Instant now);
  [[nodiscard]] std::size_t size() const { return leases_.size(); }

 private:
  struct Lease {
    std::int64_t start_number = 0;
    Instant end;
  };
  std::map<std::string, Lease> leases_;
};

}  // namespace fleetward::detector
