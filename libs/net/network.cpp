#include <map>
#include <mutex>

#include "net/connection.hpp"

namespace fleetward::net {
namespace {

struct Placed {
  std::mutex mutex;
  std::map<const async::Scheduler*, Network*> networks;
  std::atomic<bool> any{false};  // never in production: then nobody takes the lock
};

Placed& placed() {
  static Placed instance;
  return instance;
}

}  // namespace

void Network::put_under(const async::Scheduler& scheduler, Network* network) {
  Placed& p = placed();
  const std::lock_guard lock(p.mutex);
  if (network == nullptr) p.networks.erase(&scheduler);
  else p.networks[&scheduler] = network;
  p.any = !p.networks.empty();
}

Network* Network::of(const async::Scheduler& scheduler) {
  Placed& p = placed();
  if (!p.any) return nullptr;
  const std::lock_guard lock(p.mutex);
  const auto found = p.networks.find(&scheduler);
  return found == p.networks.end() ? nullptr : found->second;
}

}  // namespace fleetward::net
