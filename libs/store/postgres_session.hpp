// Runs transactions over one connection, one after the other: again where they lost to another one or their connection,
// over a new connection where the old one is gone. Blocking; belongs to one thread.
//
// Limits: attempts_max attempts of a transaction; connect_limit of trying to reach the server.
#pragma once

#include <functional>
#include <memory>
#include <random>

#include "store/postgres_connection.hpp"
#include "store/postgres_health.hpp"
#include "store/store_metrics.hpp"

namespace fleetward::store {

class Channels;

class PostgresSession {
 public:
  PostgresSession(const PostgresOptions& options, PostgresWatch& watch, PostgresHealth& health,
                  metrics::Registry& metrics);

  Status run(const std::function<Status(Transaction&)>& work);
  // A connection of somebody else's making, to begin with.
  void adopt(std::unique_ptr<PostgresConnection> connection) { connection_ = std::move(connection); }

 private:
  Status connect();
  Status attempt(const std::function<Status(Transaction&)>& work);
  bool may_try_again(int attempts, std::chrono::steady_clock::time_point begun) const;
  Millis next_pause();

  const PostgresOptions& options_;
  PostgresWatch& watch_;
  PostgresHealth& health_;
  StoreMetrics metrics_;
  metrics::Counter& reruns_;
  metrics::Counter& connects_;
  std::unique_ptr<PostgresConnection> connection_;
  Fate fate_ = Fate::none;  // of the last attempt
  Millis pause_{0};
  std::minstd_rand random_;
};

}  // namespace fleetward::store
