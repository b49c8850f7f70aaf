// What the responder owes, from what is committed in the store: caps, the hash chain, and how actions end.
//
// Counts for itself: the caps by the design's formula over a rolling window, each step's hash over the one before.
#pragma once

#include <map>
#include <set>

#include "fleet/action.hpp"
#include "simulation/durable_log.hpp"
#include "simulation/process_store.hpp"

namespace fleetward::simulation {

class ActionOracle {
 public:
  ActionOracle(SharedStore& store, const std::map<std::string, std::int64_t>& group_sizes)
      : universe_(store.universe()), store_(store), group_sizes_(group_sizes) {}

  void on_commit();  // after each transaction
  std::function<void(const fleet::ActionEvent&)> on_step;
  void on_write(const Written& written);
  // When everything has come to rest.
  void at_rest();

  [[nodiscard]] std::size_t acted() const { return acted_.size(); }
  [[nodiscard]] const std::map<std::string, fleet::Action>& actions() const { return actions_; }

 private:
  struct Acted {
    Instant at;
    std::string group;
    std::string thing;
  };
  struct Chain {
    std::int64_t position = 0;
    std::string hash;
  };
  void take_step(const store::Row& row);
  void check_cap(const fleet::ActionEvent& event);
  void check_rest(const fleet::Action& action);
  void check_violations();

  Universe& universe_;
  SharedStore& store_;
  const std::map<std::string, std::int64_t>& group_sizes_;
  std::int64_t last_row_ = 0;
  std::map<std::int64_t, Chain> chains_;
  std::map<std::string, fleet::Action> actions_;  // as their last step left them
  std::set<std::string> steps_;                   // ids of events
  std::set<std::string> steps_told_;              // on the bus
  std::set<std::string> in_alarms_;               // violation ids on the bus
  std::vector<Acted> acted_;
};

}  // namespace fleetward::simulation
