// What relays owe: one at a time publishes, the one that holds the lease; of each key what the store has said comes in
// the order in which it was said, nothing of it is left out, and of a table the newest comes last.
//
// A relay may be at it still that had the lease when it began: it has to see that it lost it as soon as it has run for
// a moment. What it says once more is what was said before.
#pragma once

#include <map>

#include "simulation/durable_log.hpp"
#include "simulation/process_store.hpp"

namespace fleetward::simulation {

class RelayOracle {
 public:
  explicit RelayOracle(SharedStore& store) : universe_(store.universe()), store_(store) {}

  void on_commit();  // after each transaction
  // A relay that runs on that loop is about to append.
  void on_append(const Loop& relay);
  void on_write(const Written& written);
  // When everything has come to rest.
  void at_rest();

  [[nodiscard]] std::size_t holders() const { return holders_; }    // how often the lease went to another one
  [[nodiscard]] std::size_t repeated() const { return repeated_; }  // records that were said before

 private:
  struct Key {
    std::map<std::int64_t, std::string> said;  // by version
    std::int64_t last = 0;                     // the version that came last
  };
  void take(const bus::Record& record);

  Universe& universe_;
  SharedStore& store_;
  std::string holder_;
  std::int64_t generation_ = 0;  // with which it got the lease
  Instant since_{};
  std::size_t holders_ = 0;
  std::size_t repeated_ = 0;
  std::map<std::pair<std::string, std::string>, Key> keys_;  // by topic and key
};

}  // namespace fleetward::simulation
