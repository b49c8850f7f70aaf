#include "store/postgres_migrate.hpp"

#include <array>
#include <functional>

#include "store/postgres_text.hpp"

namespace fleetward::store {
namespace {

constexpr std::int64_t lock_key = 0x666c656574776172;  // "fleetwar": the advisory lock of the schema
constexpr Millis step_limit{600'000};                  // a step may rewrite a large table
constexpr int attempts_max = 5;
constexpr std::int64_t server_version_min = 130'000;

using Work = std::function<Status()>;

Status in_transaction(PostgresConnection& connection, const Work& work) {
  Status status = connection.begin();
  if (status.ok()) status = work();
  if (!status) {
    connection.roll_back();
    return status;
  }
  return connection.commit({});
}

// Others may be at work in the tables meanwhile: what loses to them is done again.
Status with_patience(PostgresConnection& connection, const Work& work) {
  Status status;
  for (int attempts = 0; attempts < attempts_max; ++attempts) {
    status = in_transaction(connection, work);
    if (status.ok() || connection.fate() != Fate::again) return status;
  }
  return status;
}

Status changed(const Result<std::int64_t>& result) { return result.ok() ? Status() : Status(result.error()); }

Status lift_limits(PostgresConnection& connection) {
  for (const char* name : {"statement_timeout", "lock_timeout"}) {
    const Status set = changed(connection.execute(fmt::format("SET LOCAL {} = {}", name, step_limit.count()), {}));
    if (!set) return set;
  }
  return {};
}

Result<std::set<std::int64_t>> applied_steps(PostgresConnection& connection) {
  const auto known = connection.query("SELECT to_regclass('migrations') IS NOT NULL", {});
  if (!known) return known.error();
  std::set<std::int64_t> out;
  if (known->at(0).integer(0) == 0) return out;
  const auto rows = connection.query("SELECT number FROM migrations", {});
  if (!rows) return rows.error();
  for (const Row& row : *rows) out.insert(row.integer(0));
  return out;
}

Result<std::set<std::int64_t>> read_applied(PostgresConnection& connection) {
  std::set<std::int64_t> out;
  const Status read = with_patience(connection, [&]() -> Status {
    const auto steps = applied_steps(connection);
    if (!steps) return steps.error();
    out = *steps;
    return {};
  });
  if (!read) return read.error();
  return out;
}

Status refuse_newer(const std::set<std::int64_t>& applied, const std::vector<Migration>& migrations) {
  std::set<std::int64_t> known;
  for (const Migration& m : migrations) known.insert(m.number);
  for (const std::int64_t number : applied) {
    if (known.contains(number)) continue;
    return Error(
        ErrorCode::failed_precondition,
        fmt::format("the store has schema step {}, which this version does not know: use a newer fleetward", number));
  }
  return {};
}

bool is_complete(const std::set<std::int64_t>& applied, const std::vector<Migration>& migrations) {
  for (const Migration& m : migrations) {
    if (!applied.contains(m.number)) return false;
  }
  return true;
}

Status apply(PostgresConnection& connection, const Migration& m) {
  return with_patience(connection, [&]() -> Status {
    if (const Status lifted = lift_limits(connection); !lifted) return lifted;
    const std::string script = m.postgres_sql.empty() ? to_postgres_schema(m.sql) : std::string(m.postgres_sql);
    if (const Status ran = connection.execute_script(script); !ran) return ran.error().with_context(m.name);
    return changed(connection.execute("INSERT INTO migrations VALUES($1, $2, now()::text)",
                                      {std::int64_t{m.number}, std::string(m.name)}));
  });
}

Status apply_missing(PostgresConnection& connection, const std::vector<Migration>& migrations) {
  const Status made = with_patience(connection, [&] {
    return connection.execute_script(
        "CREATE TABLE IF NOT EXISTS migrations(number BIGINT PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT "
        "NULL)");
  });
  if (!made) return made;
  const auto applied = read_applied(connection);  // another process may have been quicker
  if (!applied) return applied.error();
  if (const Status refused = refuse_newer(*applied, migrations); !refused) return refused;
  for (const Migration& m : migrations) {
    if (applied->contains(m.number)) continue;
    if (const Status done = apply(connection, m); !done) return done;
  }
  return {};
}

Status lock_schema(PostgresConnection& connection) {
  return with_patience(connection, [&]() -> Status {
    if (const Status lifted = lift_limits(connection); !lifted) return lifted;
    const auto locked = connection.query("SELECT pg_advisory_lock($1)", {lock_key});
    return locked.ok() ? Status() : Status(locked.error());
  });
}

Status unlock_schema(PostgresConnection& connection) {
  return with_patience(connection, [&]() -> Status {
    const auto unlocked = connection.query("SELECT pg_advisory_unlock($1)", {lock_key});
    return unlocked.ok() ? Status() : Status(unlocked.error());
  });
}

}  // namespace

Status migrate(PostgresConnection& connection, const std::vector<Migration>& migrations) {
  const auto applied = read_applied(connection);
  if (!applied) return applied.error();
  if (const Status refused = refuse_newer(*applied, migrations); !refused) return refused;
  if (is_complete(*applied, migrations)) return {};
  connection.set_answer_limit(step_limit);
  if (const Status locked = lock_schema(connection); !locked) return locked.error().with_context("lock the schema");
  const Status done = apply_missing(connection, migrations);
  if (!done && done.error().code == ErrorCode::permission_denied)
    return Error(
        ErrorCode::failed_precondition,
        "the store's schema lacks steps that this role may not make: start fleetward as the schema's owner first (" +
            done.error().message + ")");
  const Status unlocked = unlock_schema(connection);
  return done.ok() ? unlocked : done;
}

Status tend_schema(Transaction& tx) {
  const auto known = tx.query("SELECT to_regproc('fleetward_tend') IS NOT NULL");
  if (!known) return known.error();
  if (known->at(0).integer(0) == 0) return {};
  const auto tended = tx.query("SELECT fleetward_tend((extract(epoch FROM now()) * 1000)::bigint)");
  return tended.ok() ? Status() : Status(tended.error());
}

Status check_database(PostgresConnection& connection) {
  std::int64_t version = 0;
  std::string encoding;
  std::string collation;
  const Status read = in_transaction(connection, [&]() -> Status {
    const auto rows = connection.query(
        "SELECT current_setting('server_version_num')::bigint, pg_encoding_to_char(encoding), datcollate::text FROM "
        "pg_database WHERE datname = current_database()",
        {});
    if (!rows) return rows.error();
    version = rows->at(0).integer(0);
    encoding = rows->at(0).text(1);
    collation = rows->at(0).text(2);
    return {};
  });
  if (!read) return read;
  if (version < server_version_min)
    return Error(ErrorCode::failed_precondition, "the store needs PostgreSQL 13 or newer");
  constexpr std::array<std::string_view, 4> by_bytes = {"C", "POSIX", "C.UTF-8", "C.utf8"};
  const bool sorts = std::find(by_bytes.begin(), by_bytes.end(), collation) != by_bytes.end();
  if (encoding == "UTF8" && sorts) return {};
  return Error(
      ErrorCode::failed_precondition,
      fmt::format("the store's database has encoding {} and collation {}; make it with: CREATE DATABASE … TEMPLATE "
                  "template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
                  encoding, collation));
}

}  // namespace fleetward::store
