// Gateways: how they stand by their last sign of life, and a person's word that one is no more.
#include "fleet/gateway_events.hpp"
#include "repository/gateway_repository.hpp"
#include "services/api/operations.hpp"

namespace fleetward::api {
namespace {

using auth::Right;
using aws::In;
using aws::Kind;
using aws::Member;
using json::Value;

Value gateway_json(const fleet::GatewayHeartbeat& h, const fleet::GoneGateway* gone, Instant now) {
  Value out = to_json(h);
  const fleet::GatewayStanding standing = fleet::standing_of(h, gone, now);
  out["standing"] = to_string(standing);
  if (standing == fleet::GatewayStanding::gone)
    out["gone"] = {{"actor", gone->actor}, {"why", gone->why}, {"time", to_ms(gone->time)}};
  return out;
}

Result<Value> list_gateways(Call& call) {
  const auto declared = repository::gone_gateways(call.tx);
  if (!declared) return declared.error();
  Value items = Value::array();
  for (const fleet::GatewayHeartbeat& h : call.presence.gateways()) {
    const auto gone =
        std::find_if(declared->begin(), declared->end(), [&](const auto& g) { return g.instance == h.instance; });
    items.push_back(gateway_json(h, gone == declared->end() ? nullptr : &*gone, call.now));
  }
  return Value{{"gateways", std::move(items)}};
}

// It ends the waiting of actions for this gateway, so it is for those who may approve them.
Result<Value> declare_gone(Call& call) {
  const std::string instance = call.text("instance");
  const auto all = call.presence.gateways();
  const auto h = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.instance == instance; });
  if (h == all.end()) return Error(ErrorCode::not_found, "no gateway of that name was ever heard of");
  const auto gone = repository::declare_gone(call.tx, *h, call.who.name, call.text("reason"), call.now);
  if (!gone) return gone.error();
  return gateway_json(*h, &*gone, call.now);
}

}  // namespace

std::vector<Operation> gateway_operations() {
  const Member instance{"instance", In::path, Kind::text, true, 1, 128};
  const Member reason{"reason", In::body, Kind::text, true, 1, 1000};
  return {
      {{"v1.gateways.list", "GET", "/v1/gateways", Right::read, {}}, list_gateways},
      {{"v1.gateways.gone", "POST", "/v1/gateways/{instance}/gone", Right::approve, {instance, reason}}, declare_gone},
  };
}

}  // namespace fleetward::api
