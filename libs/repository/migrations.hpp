// Every step of the SQL schema, in order. Each area has its SQL in a header of its own (schema_AREA.hpp), beside the
// repository class that alone writes its tables.
//
// Numbers: 1 outbox, 2 registry, 3 certificates, 4 actions, 5 incidents, 6 violations, 7 audit log, 8 governor, 9
// gateways, 10 dimensions, 11 authorities, 12 dead letters, 13 months (of PostgreSQL).
#pragma once

#include <vector>

#include "store/store.hpp"

namespace fleetward::repository {

const std::vector<store::Migration>& all_migrations();

}  // namespace fleetward::repository
