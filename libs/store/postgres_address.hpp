// Where the server is and how it is reached, checked before anything is sent. Pure.
#pragma once

#include <string>

#include "core/result.hpp"
#include "store/postgres_store.hpp"

namespace fleetward::store {

// For people and errors: "postgres.example:5432". Never holds a secret.
std::string name_of(const PostgresOptions& options);

// The server is on this machine: a folder with its socket, or a loopback address.
bool is_local(const PostgresOptions& options);

// What libpq is told, password included: for it alone. invalid_argument: what the options lack or contradict.
Result<std::string> connection_string(const PostgresOptions& options);

}  // namespace fleetward::store
