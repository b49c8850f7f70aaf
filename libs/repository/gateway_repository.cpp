#include "repository/gateway_repository.hpp"

#include "repository/action_repository.hpp"

namespace fleetward::repository {

Result<fleet::GoneGateway> declare_gone(store::Transaction& tx, const fleet::GatewayHeartbeat& h,
                                        const std::string& actor, const std::string& why, Instant now) {
  const fleet::GatewayStanding standing = fleet::standing_of(h, nullptr, now);
  if (standing == fleet::GatewayStanding::live || standing == fleet::GatewayStanding::late)
    return Error(ErrorCode::failed_precondition,
                 "the gateway gives signs of life: stop it first, then wait until its lease is over");
  if (standing == fleet::GatewayStanding::stopped)
    return Error(ErrorCode::failed_precondition, "the gateway has said goodbye: nothing waits for it");
  const auto others = tx.query("SELECT count(*) FROM gateways_gone WHERE instance <> $1", {h.instance});
  if (!others) return others.error();
  if (others->at(0).integer(0) >= gone_gateways_max)
    return Error(ErrorCode::failed_precondition, "too many gateways were declared gone: give instances stable names");
  const fleet::GoneGateway gone{h.instance, h.start_number, h.time, actor, why, now};
  const auto kept = tx.execute(
      "INSERT INTO gateways_gone VALUES($1, $2, $3, $4, $5, $6) ON CONFLICT(instance) DO UPDATE SET "
      "start_number=excluded.start_number, last_heard_ms=excluded.last_heard_ms, actor=excluded.actor, "
      "why=excluded.why, at_ms=excluded.at_ms",
      {gone.instance, gone.start_number, to_ms(gone.last_heard), actor, why, to_ms(now)});
  if (!kept) return kept.error();
  tx.notify(actions_channel);
  return gone;
}

Result<std::vector<fleet::GoneGateway>> gone_gateways(store::Transaction& tx) {
  const auto rows = tx.query(
      "SELECT instance, start_number, last_heard_ms, actor, why, at_ms FROM gateways_gone ORDER BY instance LIMIT $1",
      {gone_gateways_max});
  if (!rows) return rows.error();
  std::vector<fleet::GoneGateway> out;
  for (const store::Row& r : *rows) {
    out.push_back(
        {r.text(0), r.integer(1), instant_from_ms(r.integer(2)), r.text(3), r.text(4), instant_from_ms(r.integer(5))});
  }
  return out;
}

// One that was held a moment ago would be refused by a gateway that has not heard of its release yet.
Result<std::string> free_thing(store::Transaction& tx) {
  for (const std::string_view without : {"actions", "holds"}) {
    const auto rows =
        tx.query(fmt::format("SELECT name FROM things WHERE NOT EXISTS (SELECT 1 FROM {0} WHERE "
                             "{0}.thing = things.name) ORDER BY name LIMIT 1",
                             without));
    if (!rows) return rows.error();
    if (!rows->empty()) return rows->at(0).text(0);
  }
  return std::string(nobodys_name);
}

}  // namespace fleetward::repository
