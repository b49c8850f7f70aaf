// Brings a database's schema up to date: one process at a time, a transaction a step. Blocking.
#pragma once

#include <vector>

#include "store/postgres_connection.hpp"

namespace fleetward::store {

// failed_precondition: the schema is newer than `migrations`, or steps are missing that this role may not make.
Status migrate(PostgresConnection& connection, const std::vector<Migration>& migrations);

// What a schema wants done from time to time it brings as a function fleetward_tend(now_ms); none: nothing is done.
Status tend_schema(Transaction& tx);

// The database sorts and spells as ours must. failed_precondition: how to make one that does.
Status check_database(PostgresConnection& connection);

}  // namespace fleetward::store
