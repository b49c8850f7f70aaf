// Which things are connected and were last heard of, and which gateways live: read from topics, for people to look at.
//
// Looks at the end of `devices` once a second (what came before the start is not known), so it takes nothing from the
// path of the reports, and follows the table `gateways`. Decides nothing: the proof of an action never looks here. Read
// from any thread, written on the role's scheduler. Limit: things_max; beyond it new things are left out, and counted
// in fleetward_api_presence_dropped_total.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "bus/bus.hpp"
#include "bus/table_follower.hpp"
#include "fleet/gateway_events.hpp"
#include "metrics/metrics.hpp"

namespace fleetward::api {

struct Seen {
  Instant last;  // of the last report or cloud-side metrics
  std::optional<bool>
      connected;  // as its gateway last said; none when nothing was said, or the gateway's lease is over
};

class Presence {
 public:
  Presence(bus::Bus& bus, async::Scheduler& scheduler, metrics::Registry& metrics, std::size_t things_max = 2'000'000);

  // Spawns the following in `scope`; ends with it.
  void start(async::Scope& scope);
  void wake();  // own thread only; cuts waits short when the scope stops

  [[nodiscard]] std::optional<Seen> of(const std::string& thing, Instant now) const;
  [[nodiscard]] std::vector<fleet::GatewayHeartbeat> gateways() const;  // by instance

 private:
  struct Entry {
    Instant last;
    std::optional<bool> connected;
    std::string gateway;
  };
  async::Task<void> follow_devices(async::Scope& scope);
  void note(const bus::Record& record);
  void note_gateway(const bus::Record& record);

  bus::Bus& bus_;
  async::Scheduler& scheduler_;
  const std::size_t things_max_;
  metrics::Counter& dropped_;
  metrics::Counter& unreadable_;
  bus::TableFollower gateway_table_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Entry> things_;
  std::map<std::string, fleet::GatewayHeartbeat> gateways_;
};

}  // namespace fleetward::api
