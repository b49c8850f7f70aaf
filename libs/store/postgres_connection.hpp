// One connection to PostgreSQL, its prepared statements, and what its failures mean. Blocking; one thread at a time.
//
// Limits: a call takes answer_limit at most (the watch sees to it), statements_max prepared statements.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/postgres_store.hpp"
#include "store/postgres_watch.hpp"
#include "store/store.hpp"

namespace fleetward::store {

// What becomes of a transaction of which a part has failed.
enum class Fate {
  none,      // nothing has failed
  settled,   // it is undone; the same would fail again, or is for the caller to repeat
  again,     // it is undone and may be run again: it lost to another one
  doubtful,  // it is undone; another one, under way at the same time, may be why: once more will tell
  lost,      // it is undone and the connection is gone
  unclear,   // the connection went while it was being committed: it may be done
};

class PostgresConnection {
 public:
  // unavailable: host, port and what the server or the network said.
  static Result<std::unique_ptr<PostgresConnection>> open(const PostgresOptions& options, PostgresWatch& watch);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // A transaction. After a failure nothing more is sent: each call gives the same error, commit() too.
  Status begin();
  Result<Rows> query(std::string_view sql, const Params& params);
  Result<std::int64_t> execute(std::string_view sql, const Params& params);
  Status execute_script(const std::string& sql);  // several statements without parameters
  Status commit(const std::set<std::string>& channels);
  void roll_back();
  [[nodiscard]] Fate fate() const;
  [[nodiscard]] Status failure() const;
  [[nodiscard]] bool may_have_written() const;
  [[nodiscard]] bool is_lost() const;
  void set_answer_limit(Millis limit);  // for what may take long, as a step of the schema

  // Outside of a transaction: a connection that only listens.
  Status listen(const std::string& channel);
  [[nodiscard]] int socket() const;
  [[nodiscard]] bool has_notifications() const;        // read off the socket already
  Result<std::set<std::string>> take_notifications();  // what has come; does not wait

 private:
  struct State;
  explicit PostgresConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fleetward::store
