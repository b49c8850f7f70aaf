#include "services/detector/gateway_leases.hpp"

namespace fleetward::detector {

bool GatewayLeases::hear(const fleet::GatewayHeartbeat& heartbeat, Instant now) {
  const auto known = leases_.find(heartbeat.instance);
  if (known == leases_.end()) {
    if (heartbeat.stopping || heartbeat.lease_end <= now || leases_.size() >= gateways_max) return false;
    leases_.emplace(heartbeat.instance, Lease{heartbeat.start_number, heartbeat.lease_end});
    return true;
  }
  Lease& lease = known->second;
  if (heartbeat.start_number < lease.start_number) return false;  // of a process that is gone
  if (heartbeat.stopping) {
    leases_.erase(known);
    return true;
  }
  const bool anew = heartbeat.start_number > lease.start_number;
  // The newest word counts: an older one may have been said while the clock was ahead.
  lease = {heartbeat.start_number, heartbeat.lease_end};
  return anew;
}

bool GatewayLeases::lapse(Instant now) {
  return std::erase_if(leases_, [now](const auto& lease) { return lease.second.end <= now; }) > 0;
}

}  // namespace fleetward::detector
