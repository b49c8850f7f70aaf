// Who of this process listens to which channel. Shared by a store and its listeners, so that either may go first.
// Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "store/store.hpp"

namespace fleetward::store {

class Channels {
 public:
  // Under the lock, so that a listener that is gone is not notified any more: its scheduler may be gone too.
  void notify(const std::set<std::string>& channels);

  void add(std::string channel, const std::shared_ptr<async::Event>& event);
  void remove(const std::shared_ptr<async::Event>& event);

 private:
  std::mutex mutex_;
  std::multimap<std::string, std::weak_ptr<async::Event>, std::less<>> events_;
};

std::unique_ptr<Listener> make_listener(std::shared_ptr<Channels> channels, async::Scheduler& scheduler,
                                        std::string channel);

}  // namespace fleetward::store
