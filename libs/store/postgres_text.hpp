// One text for queries: what it becomes for PostgreSQL, and how values pass as text. Pure.
//
// The type of a parameter is the type of the value that is given, as in SQLite, so each gets its cast; a null is
// written into the text; a parameter that the text does not use is left out. A query without a limit of its own gets
// one row more than rows_max, so that the server does not send what is refused anyway.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "store/store.hpp"

namespace fleetward::store {

struct PostgresStatement {
  std::string text;
  std::vector<std::string> values;  // of $1, $2, … in the text
  bool may_write = true;
};

// internal: a parameter without a value. invalid_argument: text with a NUL, which PostgreSQL does not keep.
Result<PostgresStatement> to_postgres(std::string_view sql, const Params& params);

// A step of the schema that is written as SQLite has it: its words for a counted key and for bytes.
std::string to_postgres_schema(std::string_view sql);

// A column's value out of its text. `type` is the server's number of it; a boolean is 0 or 1, a sum of integers an
// integer, as in SQLite.
Result<Value> from_postgres(unsigned type, std::string_view text);

}  // namespace fleetward::store
