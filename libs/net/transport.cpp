#include <map>
#include <mutex>

#include "net/connection.hpp"

namespace fleetward::net {
namespace {

struct Placed {
  std::mutex mutex;
  std::map<const async::Scheduler*, Transport*> networks;
  std::atomic<bool> any{false};  // never in production: then nobody takes the lock
};

Placed& placed() {
  static Placed instance;
  return instance;
}

}  // namespace

void Transport::put_under(const async::Scheduler& scheduler, Transport* network) {
  Placed& p = placed();
  const std::lock_guard lock(p.mutex);
  if (network == nullptr) p.networks.erase(&scheduler);
  else p.networks[&scheduler] = network;
  p.any = !p.networks.empty();
}

Transport* Transport::of(const async::Scheduler& scheduler) {
  Placed& p = placed();
  if (!p.any) return nullptr;
  const std::lock_guard lock(p.mutex);
  const auto found = p.networks.find(&scheduler);
  return found == p.networks.end() ? nullptr : found->second;
}

}  // namespace fleetward::net
