// Which things are registered, and their ids: looked up in the store, remembered for a while.
//
// A thing that was deleted is remembered until its time is over; its id keeps its reports from counting for one made
// anew under the name. Lives on the collector's scheduler. Limit: names_max
// names and those of one batch; beyond it all are forgotten.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "async/scope.hpp"
#include "store/store.hpp"

namespace fleetward::collector {

class ThingBook {
 public:
  static constexpr std::size_t names_max = 200'000;

  ThingBook(store::Store& store, async::Scheduler& scheduler) : store_(store), scheduler_(scheduler) {}

  // Afterwards id_of() knows each of them. An error is the store's: worth another try.
  async::Task<Status> look_up(std::vector<std::string> names);
  // Empty: there is no such thing.
  [[nodiscard]] std::string id_of(const std::string& name) const;

 private:
  struct Entry {
    std::string id;
    std::chrono::nanoseconds until{0};
  };
  store::Store& store_;
  async::Scheduler& scheduler_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace fleetward::collector
