// Gateways that a person has declared gone: the only code that writes their table. All functions run inside a store
// transaction.
#pragma once

#include <string>
#include <vector>

#include "fleet/gateway_events.hpp"
#include "store/store.hpp"

namespace fleetward::repository {

inline constexpr std::int64_t gone_gateways_max = 10'000;

// failed_precondition: it is not silent (it lives, or has said goodbye), or too many were declared gone already.
// `heartbeat` is the last that was heard of it. Again is no error. Wakes who verifies.
Result<fleet::GoneGateway> declare_gone(store::Transaction& tx, const fleet::GatewayHeartbeat& heartbeat,
                                        const std::string& actor, const std::string& why, Instant now);
// By instance. Also those that were heard of again since: fleet::standing_of tells.
Result<std::vector<fleet::GoneGateway>> gone_gateways(store::Transaction& tx);

// A thing for which a gateway must let a probe through: not held, best one that no action was ever about. A name that
// is no thing's when all are held.
inline constexpr std::string_view nobodys_name = "fleetward-probe-of-nobody";
Result<std::string> free_thing(store::Transaction& tx);

}  // namespace fleetward::repository
