#include "store/postgres_failure.hpp"

#include <array>
#include <pqxx/except>

#include "store/postgres_address.hpp"

namespace fleetward::store {
namespace {

struct StateRow {
  std::string_view begins;  // the first that fits counts
  ErrorCode code;
  Fate fate;
};

constexpr std::array states{
    StateRow{"40001", ErrorCode::conflict, Fate::again},             // serialization_failure
    StateRow{"40P01", ErrorCode::conflict, Fate::again},             // deadlock_detected
    StateRow{"0A000", ErrorCode::unsupported, Fate::again},          // a plan from before a step of the schema
    StateRow{"23505", ErrorCode::already_exists, Fate::doubtful},    // unique_violation
    StateRow{"23P01", ErrorCode::already_exists, Fate::doubtful},    // exclusion_violation
    StateRow{"23", ErrorCode::failed_precondition, Fate::settled},   // other constraints
    StateRow{"22", ErrorCode::invalid_argument, Fate::settled},      // a value that the type does not hold
    StateRow{"42501", ErrorCode::permission_denied, Fate::settled},  // insufficient_privilege
    StateRow{"57014", ErrorCode::deadline_exceeded, Fate::settled},  // query_canceled: statement_timeout
    StateRow{"55P03", ErrorCode::deadline_exceeded, Fate::settled},  // lock_not_available: lock_timeout
    StateRow{"53", ErrorCode::unavailable, Fate::settled},           // disk full, out of memory, too many connections
    StateRow{"25006", ErrorCode::unavailable, Fate::lost},           // read only: it has become a standby
    StateRow{"25P03", ErrorCode::unavailable, Fate::lost},           // idle in transaction for too long
    StateRow{"57P", ErrorCode::unavailable, Fate::lost},             // shutting down, or starting up
    StateRow{"08", ErrorCode::unavailable, Fate::lost},              // connection exceptions
    StateRow{"58", ErrorCode::unavailable, Fate::settled},           // the server's own input and output
    StateRow{"XX001", ErrorCode::corrupted, Fate::settled},
    StateRow{"XX002", ErrorCode::corrupted, Fate::settled},
};

// Without the severity, and without what follows the first line: details name the row's values.
std::string first_line(std::string_view said) {
  std::string_view line = trim(said.substr(0, said.find('\n')));
  for (const std::string_view severity : {"ERROR:", "FATAL:", "PANIC:"}) {
    if (line.starts_with(severity)) line = trim(line.substr(severity.size()));
  }
  return printable(line);
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// What to look at, by what libpq says: it has no codes for it.
std::string_view advice(std::string_view said) {
  if (has(said, "authentication failed") || has(said, "no password supplied")) return "check its user and password";
  if (has(said, "pg_hba.conf")) return "the server's pg_hba.conf does not admit this user from here";
  if (has(said, "certificate verify failed") || has(said, "does not match host name") ||
      has(said, "root certificate file"))
    return "check the file of its authority, and that its certificate names this host";
  if (has(said, "does not support SSL")) return "the server has no TLS: turn it on there";
  if (has(said, "does not exist")) return "make the database and the role, as deploy/postgres says";
  return "is it running, and reachable from here?";
}

template <class Thrown>
bool is(const std::exception& thrown) {
  return dynamic_cast<const Thrown*>(&thrown) != nullptr;
}

// libpqxx 6 keeps the SQLSTATE of some of its types only; of the others the type has to say it.
std::string_view state_of(const std::exception& thrown) {
  if (is<pqxx::serialization_failure>(thrown)) return "40001";
  if (is<pqxx::deadlock_detected>(thrown)) return "40P01";
  if (is<pqxx::transaction_rollback>(thrown)) return "40001";
  const auto* sql = dynamic_cast<const pqxx::sql_error*>(&thrown);
  if (sql == nullptr) return {};
  if (!sql->sqlstate().empty()) return sql->sqlstate();
  if (is<pqxx::insufficient_privilege>(thrown)) return "42501";
  if (is<pqxx::unique_violation>(thrown)) return "23505";
  if (is<pqxx::integrity_constraint_violation>(thrown)) return "23000";
  if (is<pqxx::data_exception>(thrown)) return "22000";
  if (is<pqxx::feature_not_supported>(thrown)) return "0A000";
  if (is<pqxx::insufficient_resources>(thrown)) return "53000";
  return {};
}

}  // namespace

Failure judge_state(std::string_view state, std::string_view said) {
  for (const StateRow& row : states) {
    if (!state.starts_with(row.begins)) continue;
    const bool is_no_plan = row.code == ErrorCode::unsupported && !has(said, "cached plan");
    return {Error(row.code, first_line(said)), is_no_plan ? Fate::settled : row.fate};
  }
  return {Error(ErrorCode::internal, first_line(said)), Fate::settled};
}

Failure judge(const std::exception& thrown, bool is_open) {
  const std::string_view state = state_of(thrown);
  if (!state.empty()) return judge_state(state, thrown.what());
  const bool is_broken = is<pqxx::broken_connection>(thrown) || is<pqxx::in_doubt_error>(thrown);
  if (is_broken || !is_open) return judge_state("08006", thrown.what());
  return {Error(ErrorCode::internal, first_line(thrown.what())), Fate::settled};
}

Failure unclear_commit(std::string_view server) {
  return {
      Error(ErrorCode::unavailable,
            fmt::format("the store at {} was lost in the middle of a commit: what was asked may be done or not; look "
                        "and try again",
                        server)),
      Fate::unclear};
}

Error connect_failure(const PostgresOptions& options, std::string_view said) {
  return Error(ErrorCode::unavailable, fmt::format("the store at {} (database {}, user {}): {}; {}", name_of(options),
                                                   options.database, options.user, first_line(said), advice(said)));
}

}  // namespace fleetward::store
