// The store for several processes: PostgreSQL, where every process has a few connections, each on a thread of its own.
//
// Transactions are serialisable. What loses to another one, or its connection before it was committed, is run again by
// the store, a bounded number of times; so several transactions of one process run at once and in no set order. A
// connection that is lost in the middle of a commit leaves it open whether that happened: such an `unavailable` says
// so, and what is tried again must stand that it did. The database is UTF-8 with collation C, so that it sorts as
// SQLite does.
//
// Limits: work_max transactions wait, beyond that run() answers throttled; a statement, a wait for a lock and an answer
// of the server take statement_limit at most.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/time.hpp"
#include "metrics/metrics.hpp"
#include "store/store.hpp"

namespace fleetward::store {

struct PostgresOptions {
  std::string host = "localhost";  // or the folder of a Unix socket
  std::int64_t port = 5432;
  std::string database = "fleetward";
  std::string user = "fleetward";
  std::string password;                    // never in a log or an error
  std::string ca_file;                     // who vouches for the server; its name is checked too
  std::string certificate_file, key_file;  // our own, where the server asks for one
  bool tls = true;                         // without it only to this machine
  std::int64_t connections = 4;
  Millis connect_limit{5'000};
  Millis statement_limit{10'000};
  std::size_t work_max = 10'000;
};

// Blocks until the first connection is there, or has failed: the error names host and port and says what to do.
Result<std::unique_ptr<Store>> open_postgres_store(PostgresOptions options, metrics::Registry& metrics);

}  // namespace fleetward::store
