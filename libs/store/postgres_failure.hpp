// What libpqxx throws, as our errors: which code, and what it means for the transaction. No row's contents get into a
// message, and no secret.
#pragma once

#include <exception>
#include <string>
#include <string_view>

#include "store/postgres_connection.hpp"

namespace fleetward::store {

struct Failure {
  Error error;
  Fate fate = Fate::settled;
};

// `is_open`: whether the connection still is. A loss is `unavailable`.
Failure judge(const std::exception& thrown, bool is_open);

// By SQLSTATE (PostgreSQL 15, appendix A); `said` is the server's text, of which the first line is kept.
Failure judge_state(std::string_view state, std::string_view said);

Failure unclear_commit(std::string_view server);

// A connection that did not come about: with what to do, where that can be told.
Error connect_failure(const PostgresOptions& options, std::string_view said);

}  // namespace fleetward::store
